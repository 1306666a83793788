//! What a good file gives; the bad ones are in `attacks/`.

use super::*;

fn file(head: &str, data: &[u8]) -> Vec<u8> {
    [&(head.len() as u64).to_le_bytes(), head.as_bytes(), data].concat()
}

#[test]
fn a_good_file_gives_its_tensors() {
    let head = r#"{"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[2,1],"data_offsets":[4,12]},"a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]},"none":{"dtype":"F64","shape":[0,3],"data_offsets":[4,4]},"scalar":{"dtype":"I64","shape":[],"data_offsets":[12,20]}}   "#;
    let bytes: Vec<u8> = (0..20).collect();
    let checkpoint = Checkpoint::from_bytes(file(head, &bytes)).unwrap();
    let names: Vec<&str> = checkpoint.tensors().iter().map(Tensor::name).collect();
    assert_eq!(names, ["a", "b", "none", "scalar"]);
    let b = checkpoint.tensor("b").unwrap();
    assert_eq!(
        (b.shape(), b.element().dtype()),
        (&[2, 1][..], Some(Dtype::F32))
    );
    assert_eq!(checkpoint.bytes(b), &bytes[4..12]);
    assert_eq!(
        checkpoint.bytes(checkpoint.tensor("a").unwrap()),
        &bytes[..4]
    );
    assert_eq!(checkpoint.tensor("scalar").unwrap().element().dtype(), None);
    assert!(checkpoint.tensor("c").is_none());
}
