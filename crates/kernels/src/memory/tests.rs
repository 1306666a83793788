//! Alignment, zeros, sizes that cannot be, and memory that costs nothing until it is touched.

use super::{ALIGN, Aligned, Arena, OutOfMemory, Pages, REGION_BYTES};

#[test]
fn buffers_start_on_lines_and_hold_zeros() {
    for len in [1, 3, 64, 1000] {
        let mut floats = Aligned::<f32>::zeroed(len).expect("memory");
        let bytes = Aligned::<u8>::zeroed(len).expect("memory");
        assert_eq!(floats.as_slice().as_ptr().addr() % ALIGN, 0);
        assert_eq!(bytes.as_slice().as_ptr().addr() % ALIGN, 0);
        assert!(floats.as_slice().iter().all(|&x| x == 0.0));
        floats.as_mut_slice()[len - 1] = 1.0;
        assert_eq!((floats.len(), floats.as_slice()[len - 1]), (len, 1.0));
    }
    let empty = Aligned::<f32>::zeroed(0).expect("nothing to ask for");
    assert!(empty.is_empty() && empty.as_slice().is_empty());
}

#[test]
fn sizes_beyond_the_address_space_are_refused() {
    for len in [usize::MAX, usize::MAX / 4, usize::MAX / 8 + 1] {
        let error = Aligned::<f32>::zeroed(len).err();
        assert_eq!(error, Some(OutOfMemory { bytes: None }));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn untouched_memory_is_not_resident() {
    let resident_pages = || -> usize {
        let statm = std::fs::read_to_string("/proc/self/statm").expect("this process");
        let field = statm.split(' ').nth(1).expect("the second field");
        field.parse().expect("a number of pages")
    };
    let before = resident_pages();
    let buffer = Aligned::<f32>::zeroed(1 << 28).expect("memory");
    let grown = resident_pages().saturating_sub(before);
    // Pages of at least 4 KiB: a quarter of the buffer's 1 GiB leaves room for the other tests' memory.
    assert!(grown < 1 << 16, "{grown} pages became resident");
    assert_eq!(buffer.as_slice()[1 << 27], 0.0);
}

#[test]
fn buffers_of_an_arena_are_zero_apart_and_outlive_it() {
    for pages in [Pages::Small, Pages::Huge] {
        let mut arena = Arena::new(pages);
        let mut buffers: Vec<Aligned<u16>> = [1, 33, 0, 5000, 64]
            .map(|len| arena.zeroed(len).expect("memory"))
            .into();
        // More than a region: one of its own.
        let large = arena.zeroed::<u8>(REGION_BYTES + 1).expect("memory");
        drop(arena);
        for (i, buffer) in buffers.iter_mut().enumerate() {
            assert_eq!(buffer.as_slice().as_ptr().addr() % ALIGN, 0);
            assert!(buffer.as_slice().iter().all(|&x| x == 0));
            buffer.as_mut_slice().fill(i as u16 + 1);
        }
        for (i, buffer) in buffers.iter().enumerate() {
            assert!(buffer.as_slice().iter().all(|&x| x == i as u16 + 1));
        }
        assert_eq!(large.as_slice()[REGION_BYTES], 0);
    }
}

#[test]
fn an_arena_refuses_what_no_address_space_holds() {
    for pages in [Pages::Small, Pages::Huge] {
        let error = Arena::new(pages).zeroed::<f32>(usize::MAX / 2).err();
        assert_eq!(error, Some(OutOfMemory { bytes: None }));
        let error = Arena::new(pages).zeroed::<u8>(1 << 60).err();
        assert!(error.is_some_and(|e| e.bytes.is_some()));
    }
}
