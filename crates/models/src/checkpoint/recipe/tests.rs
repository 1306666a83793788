//! The orders of rows, against their definitions by hand.

use super::*;

fn sources(order: &Rows, rows: usize) -> Vec<usize> {
    (0..rows).map(|row| order.source(row)).collect()
}

#[test]
fn halves_become_pairs() {
    let order = Rows::Interleaved { head: 4 };
    assert_eq!(sources(&order, 8), [0, 2, 1, 3, 4, 6, 5, 7]);
}

#[test]
fn grouped_heads_become_tiled() {
    // Key heads a and b with value heads a0 a1 a2 b0 b1 b2, of two rows each, behind one row that stays.
    let heads = Heads {
        keys: 2,
        repeats: 3,
        width: 2,
    };
    let order = Rows::Tiled { from: 1, heads };
    assert_eq!(
        sources(&order, 13),
        [0, 1, 2, 7, 8, 3, 4, 9, 10, 5, 6, 11, 12]
    );
}

#[test]
fn fused_groups_come_apart() {
    // Two groups of q q v v v z: all q, then all v.
    let order = Rows::Unfused {
        group: 6,
        groups: 2,
        segments: vec![(0, 2), (2, 3)],
    };
    assert_eq!(sources(&order, 10), [0, 1, 6, 7, 2, 3, 4, 8, 9, 10]);
    // Beyond the last segment there is no source.
    assert_eq!(order.source(10), usize::MAX);
}

fn checkpoint(values: &[f32], shape: &str) -> Checkpoint {
    let head = format!(
        r#"{{"w":{{"dtype":"F32","shape":{shape},"data_offsets":[0,{}]}}}}"#,
        values.len() * 4
    );
    let data = values.iter().flat_map(|x| x.to_le_bytes());
    let bytes = (head.len() as u64)
        .to_le_bytes()
        .into_iter()
        .chain(head.bytes())
        .chain(data)
        .collect();
    Checkpoint::from_bytes(bytes).unwrap()
}

fn recipe(rows: usize, cols: usize, to: Dtype) -> Recipe {
    Recipe {
        sources: vec![0],
        from: Dtype::F32,
        rows,
        cols,
        order: Rows::Same,
        columns: None,
        turned: None,
        change: Change::None,
        to,
    }
}

#[test]
fn any_number_of_threads_makes_the_same_bytes() {
    let (rows, cols) = (1030, 256);
    let values: Vec<f32> = (0..rows * cols).map(|i| (i as f32 * 0.37).sin()).collect();
    let checkpoint = checkpoint(&values, "[1030,256]");
    for to in [Dtype::F32, Dtype::Q8_0, Dtype::Q4K] {
        let recipe = recipe(rows, cols, to);
        let one = recipe.make(&checkpoint, 1).unwrap();
        assert_eq!(Some(one.len()), to.bytes_for(rows * cols));
        for threads in [2, 3, 64] {
            assert!(
                one == recipe.make(&checkpoint, threads).unwrap(),
                "{to} {threads}"
            );
        }
    }
}

#[test]
fn weights_that_are_no_numbers_are_refused() {
    for bad in [f32::NAN, f32::INFINITY] {
        let mut values = vec![1.0; 64];
        values[40] = bad;
        let checkpoint = checkpoint(&values, "[2,32]");
        for to in [Dtype::F32, Dtype::F16, Dtype::Q8_0] {
            assert_eq!(
                recipe(2, 32, to).make(&checkpoint, 2),
                Err(MakeError::NotFinite)
            );
        }
    }
    let checkpoint = checkpoint(&[1e30; 64], "[2,32]");
    let told = recipe(2, 32, Dtype::F16).make(&checkpoint, 1).unwrap_err();
    assert!(told.to_string().contains("use bf16 or f32"), "{told}");
}

#[test]
fn a_recipe_that_does_not_fit_is_an_error() {
    let checkpoint = checkpoint(&[1.0; 64], "[2,32]");
    for bad in [
        recipe(3, 32, Dtype::F32),
        recipe(2, 33, Dtype::Q8_0),
        recipe(usize::MAX, 32, Dtype::F32),
    ] {
        assert_eq!(bad.make(&checkpoint, 1), Err(MakeError::Recipe));
    }
}

#[test]
fn parameters_of_decays_become_logarithms() {
    let values = [0.0, -20.0, 30.0, 1.0];
    let checkpoint = checkpoint(&values, "[1,4]");
    let recipe = Recipe {
        change: Change::DecayLogarithm,
        ..recipe(1, 4, Dtype::F32)
    };
    let made = recipe.make(&checkpoint, 1).unwrap();
    let (made, _) = made.as_chunks();
    let near = |(bytes, x): (&[u8; 4], &f32)| {
        let want = -8.0 * f64::from(*x).exp().ln_1p();
        (f64::from(f32::from_le_bytes(*bytes)) - want).abs() <= 1e-6 * want.abs()
    };
    assert!(made.iter().zip(&values).all(near), "{made:?}");
}

/// Of two heads of five rows each the first three are turned, whatever rows a thread begins with.
#[test]
fn leading_rows_of_heads_become_columns() {
    let (heads, group, rows, cols) = (2, 5, 3, 4);
    let values: Vec<f32> = (0..heads * group * cols).map(|i| i as f32).collect();
    let checkpoint = checkpoint(&values, "[10,4]");
    let recipe = Recipe {
        turned: Some(Turned { group, cols }),
        ..recipe(heads * cols, rows, Dtype::F32)
    };
    let made = recipe.make(&checkpoint, 1).unwrap();
    let (made, _) = made.as_chunks();
    let made: Vec<f32> = made.iter().map(|&b| f32::from_le_bytes(b)).collect();
    let at = |head, col, row| values[(head * group + row) * cols + col];
    let want: Vec<f32> = (0..heads * cols * rows)
        .map(|i| at(i / rows / cols, i / rows % cols, i % rows))
        .collect();
    assert_eq!(made, want);
    let source = recipe.source(&checkpoint).unwrap();
    let mut part = vec![0; 4 * rows * 3];
    recipe.part(&source, 2, 4 * rows, &mut part).unwrap();
    assert!(part == recipe.make(&checkpoint, 1).unwrap()[4 * rows * 2..][..4 * rows * 3]);
    for turned in [Turned { group: 9, cols }, Turned { group, cols: 0 }] {
        let bad = Recipe {
            turned: Some(turned),
            ..recipe.clone()
        };
        assert_eq!(bad.make(&checkpoint, 1), Err(MakeError::Recipe));
    }
}
