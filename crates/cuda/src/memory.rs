//! Memory of the GPU, and memory of the host that the GPU reads and writes by itself.

use std::{marker::PhantomData, slice, sync::Arc};

use cudarc::driver::{CudaContext, CudaStream, result};

use crate::{CudaError, error::at, op::At};

/// Parts of an arena begin at multiples of this: what the copy engine reads fastest, and more than any load asks for.
pub(crate) const ALIGNMENT: usize = 256;

/// A piece of the GPU's memory.
pub(crate) struct Memory {
    at: At,
    bytes: usize,
    stream: Arc<CudaStream>,
}

impl Memory {
    /// `bytes` zeros for `what`.
    pub(crate) fn zeroed(
        stream: &Arc<CudaStream>,
        bytes: usize,
        what: &'static str,
    ) -> Result<Self, CudaError> {
        let context = stream.context();
        context.bind_to_thread().map_err(at("taking memory"))?;
        let bytes = bytes.max(ALIGNMENT);
        // SAFETY: a plain allocation, freed in `drop`.
        let address = unsafe { result::malloc_sync(bytes) }.map_err(|source| {
            match context.mem_get_info() {
                Ok((free, total)) if free < bytes => CudaError::Memory {
                    what,
                    needed: bytes as u64,
                    free: free as u64,
                    total: total as u64,
                },
                _ => at("taking memory")(source),
            }
        })?;
        let memory = Self {
            at: address,
            bytes,
            stream: Arc::clone(stream),
        };
        memory.zero()?;
        Ok(memory)
    }

    /// The address of byte `offset`.
    pub(crate) fn at(&self, offset: usize) -> At {
        debug_assert!(offset <= self.bytes);
        self.at + offset as u64
    }

    /// All of it zero, behind what the stream has to do before.
    pub(crate) fn zero(&self) -> Result<(), CudaError> {
        // SAFETY: the memory is ours and this long.
        unsafe { result::memset_d8_async(self.at, 0, self.bytes, self.stream.cu_stream()) }
            .map_err(at("clearing memory"))
    }

    /// Copies `values` to byte `offset` and waits for it.
    ///
    /// # Panics
    /// They do not fit.
    pub(crate) fn write<T: Copy>(&self, offset: usize, values: &[T]) -> Result<(), CudaError> {
        assert!(offset + size_of_val(values) <= self.bytes);
        // SAFETY: the range is within the memory, and the copy is over when `values` goes.
        unsafe { result::memcpy_htod_async(self.at(offset), values, self.stream.cu_stream()) }
            .and_then(|()| self.stream.synchronize())
            .map_err(at("copying to the GPU"))
    }

    /// Copies the start of it into `values` and waits for it.
    ///
    /// # Panics
    /// There is not so much.
    pub(crate) fn read<T: Copy>(&self, values: &mut [T]) -> Result<(), CudaError> {
        assert!(size_of_val(values) <= self.bytes);
        // SAFETY: the range is within the memory, `T` is plain numbers by the callers' use, and the copy is over on return.
        unsafe { result::memcpy_dtoh_async(values, self.at, self.stream.cu_stream()) }
            .and_then(|()| self.stream.synchronize())
            .map_err(at("copying from the GPU"))
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // Kernels that use it may still run. Errors have been told by whoever waited for them.
        let _ = self.stream.synchronize();
        // SAFETY: it was allocated by `malloc_sync` and nothing refers to it any more.
        let _ = unsafe { result::free_sync(self.at) };
    }
}

/// Page-locked memory of the host, which the GPU reaches under the same address.
pub(crate) struct Pinned<T> {
    data: *mut T,
    len: usize,
    context: Arc<CudaContext>,
    of: PhantomData<T>,
}

// SAFETY: it is memory that this value alone owns.
unsafe impl<T: Send> Send for Pinned<T> {}
// SAFETY: through a shared reference it is only read.
unsafe impl<T: Sync> Sync for Pinned<T> {}

impl<T: Copy + Default> Pinned<T> {
    /// `len` values, all the default.
    pub(crate) fn new(context: &Arc<CudaContext>, len: usize) -> Result<Self, CudaError> {
        context.bind_to_thread().map_err(at("taking memory"))?;
        let len = len.max(1);
        // SAFETY: a plain allocation, freed in `drop`.
        let data = unsafe { result::malloc_host(len * size_of::<T>(), 0) }
            .map_err(at("taking memory of the host"))?
            .cast::<T>();
        for i in 0..len {
            // SAFETY: within the allocation, which is page-aligned.
            unsafe { data.add(i).write(T::default()) };
        }
        Ok(Self {
            data,
            len,
            context: Arc::clone(context),
            of: PhantomData,
        })
    }

    /// Its address, to the GPU too.
    pub(crate) fn at(&self, index: usize) -> At {
        debug_assert!(index <= self.len);
        self.data.wrapping_add(index) as At
    }

    /// What is there. Whoever handed it to the GPU has waited for it.
    pub(crate) fn values(&self) -> &[T] {
        // SAFETY: initialised, and this long.
        unsafe { slice::from_raw_parts(self.data, self.len) }
    }

    /// What is there, to be changed. Whoever handed it to the GPU has waited for it.
    pub(crate) fn values_mut(&mut self) -> &mut [T] {
        // SAFETY: initialised, this long, and borrowed alone.
        unsafe { slice::from_raw_parts_mut(self.data, self.len) }
    }
}

impl<T> Drop for Pinned<T> {
    fn drop(&mut self) {
        // The GPU may still work with it.
        let _ = self.context.bind_to_thread();
        let _ = self.context.synchronize();
        // SAFETY: it was allocated by `malloc_host`, and nothing uses it any more.
        let _ = unsafe { result::free_host(self.data.cast()) };
    }
}

/// Where the parts of one piece of memory begin.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Layout {
    pub bytes: usize,
}

impl Layout {
    /// Room for `bytes` more; where it begins.
    pub(crate) fn add(&mut self, bytes: usize) -> usize {
        let begin = self.bytes;
        self.bytes = (begin + bytes).next_multiple_of(ALIGNMENT);
        begin
    }
}
