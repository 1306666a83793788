//! Launches that begin before what is in front of them has ended: a kernel's blocks take their places, and fetch what nobody changes, while the
//! last blocks of the one before still work.

use std::ffi::c_void;

use cudarc::driver::{CudaFunction, CudaStream, DriverError, LaunchConfig, sys};

/// An argument's address, as launches take it.
pub(super) fn pointer<T>(argument: &T) -> *mut c_void {
    std::ptr::from_ref(argument).cast_mut().cast()
}

/// Launches a kernel that may begin when all blocks of the one in front have, and waits for its end itself.
///
/// # Safety
/// As for any launch: arguments are the kernel's, and what they name outlives it.
pub(super) unsafe fn launch_early(
    stream: &CudaStream,
    kernel: &CudaFunction,
    config: LaunchConfig,
    arguments: &mut [*mut c_void],
) -> Result<(), DriverError> {
    let mut early = sys::CUlaunchAttribute {
        id: sys::CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION,
        pad: [0; 4],
        value: sys::CUlaunchAttributeValue {
            programmaticStreamSerializationAllowed: 1,
        },
    };
    let LaunchConfig {
        grid_dim,
        block_dim,
        shared_mem_bytes,
    } = config;
    let config = sys::CUlaunchConfig {
        gridDimX: grid_dim.0,
        gridDimY: grid_dim.1,
        gridDimZ: grid_dim.2,
        blockDimX: block_dim.0,
        blockDimY: block_dim.1,
        blockDimZ: block_dim.2,
        sharedMemBytes: shared_mem_bytes,
        hStream: stream.cu_stream(),
        attrs: &raw mut early,
        numAttrs: 1,
    };
    // SAFETY: the configuration and its attribute live until the driver has read them; the rest is the caller's promise.
    unsafe {
        let none = std::ptr::null_mut();
        sys::cuLaunchKernelEx(
            &raw const config,
            kernel.cu_function(),
            arguments.as_mut_ptr(),
            none,
        )
    }
    .result()
}
