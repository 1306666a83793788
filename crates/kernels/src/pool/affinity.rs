//! Binding the calling thread to one processor, and giving it back what it had: Linux only.

/// The processors that a thread may run on, a bit for each.
#[cfg(target_os = "linux")]
#[derive(Clone, Copy)]
struct Mask([libc::c_ulong; WORDS]);

/// For 8192 processors, the most that Linux is built for.
#[cfg(target_os = "linux")]
const WORDS: usize = 8192 / libc::c_ulong::BITS as usize;

#[cfg(target_os = "linux")]
impl Mask {
    /// The calling thread's; `None` where it cannot be read.
    fn own() -> Option<Self> {
        let mut mask = Self([0; WORDS]);
        // SAFETY: 0 is the calling thread; the system writes at most the given bytes, which are the array's and take any value.
        let failed =
            unsafe { libc::sched_getaffinity(0, size_of::<Self>(), mask.0.as_mut_ptr().cast()) };
        (failed == 0).then_some(mask)
    }

    fn of(processor: usize) -> Option<Self> {
        let bits = libc::c_ulong::BITS as usize;
        let mut mask = Self([0; WORDS]);
        *mask.0.get_mut(processor / bits)? |= 1 << (processor % bits);
        Some(mask)
    }

    /// Makes it the calling thread's. Whether the system did.
    fn take_effect(&self) -> bool {
        // SAFETY: 0 is the calling thread; the system reads the given bytes, which are the array's. Where a thread runs is no
        // matter of memory safety.
        unsafe { libc::sched_setaffinity(0, size_of::<Self>(), self.0.as_ptr().cast()) == 0 }
    }
}

/// The calling thread is bound to one processor until this is dropped, on the same thread.
pub(super) struct Bound {
    #[cfg(target_os = "linux")]
    before: Mask,
    /// A thread can give back only what is its own.
    _of_this_thread: std::marker::PhantomData<*const ()>,
}

impl Bound {
    /// `None`, and nothing has changed, where the system has no such thing or refuses it.
    #[cfg(target_os = "linux")]
    pub(super) fn to(processor: usize) -> Option<Self> {
        let before = Mask::own()?;
        Mask::of(processor)?.take_effect().then_some(Self {
            before,
            _of_this_thread: std::marker::PhantomData,
        })
    }

    /// `None`: this system has no such thing, or we do not know it.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn to(_processor: usize) -> Option<Self> {
        None
    }
}

#[cfg(target_os = "linux")]
impl Drop for Bound {
    fn drop(&mut self) {
        // Processors may have gone meanwhile; then the system's own choice stays.
        let _gone = self.before.take_effect();
    }
}

/// Whether the calling thread can be bound to each of the processors: a seal may refuse it, and a processor may be another's.
pub(super) fn can_bind(processors: &[usize]) -> bool {
    processors.iter().all(|&one| Bound::to(one).is_some())
}
