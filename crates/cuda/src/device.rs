//! A GPU: what it is, and the kernels compiled for it.

use std::{path::PathBuf, sync::Arc};

use cudarc::driver::{
    CudaContext, CudaFunction, CudaModule, CudaStream, result, sys,
    sys::{CUdevice_attribute_enum as Attribute, CUfunction_attribute_enum},
};
use cudarc::nvrtc::Ptx;

use crate::{
    CudaError,
    error::at,
    source::{self, Unit},
};

/// What plans depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Properties {
    /// As the driver calls it.
    pub name: String,
    /// Of its architecture, such as (9, 0).
    pub capability: (i32, i32),
    /// Multiprocessors.
    pub multiprocessors: u32,
    /// Bytes of shared memory that a block may have.
    pub shared_bytes: u32,
    /// Bytes of its memory.
    pub memory_bytes: u64,
    /// Newest version of CUDA that the driver knows, such as 13000.
    pub driver: i32,
}

impl Properties {
    /// The compiler's name for its architecture, with all that it alone has.
    #[must_use]
    pub fn architecture(&self) -> String {
        format!("sm_{}{}a", self.capability.0, self.capability.1)
    }
}

/// An open GPU.
pub struct Device {
    pub(crate) context: Arc<CudaContext>,
    pub(crate) stream: Arc<CudaStream>,
    properties: Properties,
    cache: Option<PathBuf>,
}

/// Kernels that were compiled together, on the GPU.
pub(crate) struct Module(Arc<CudaModule>);

/// Whether there is a driver at all: milliseconds without one.
#[must_use]
fn has_driver() -> bool {
    // SAFETY: looking for a library runs its initialisers, which those of NVIDIA allow at any time.
    unsafe { sys::is_culib_present() }
}

impl Device {
    /// Opens GPU `ordinal`. Compiled kernels are kept in the folder `cache`.
    ///
    /// # Errors
    /// There is no driver, no such GPU, or one that is too old.
    pub fn open(ordinal: usize, cache: Option<PathBuf>) -> Result<Self, CudaError> {
        if !has_driver() {
            return Err(CudaError::NoDriver);
        }
        // A driver without a GPU refuses to start.
        let known = result::init().and_then(|()| CudaContext::device_count());
        let known = known.map_or(0, |n| usize::try_from(n).unwrap_or(0));
        if ordinal >= known {
            return Err(CudaError::NoDevice { ordinal, known });
        }
        let context = CudaContext::new(ordinal).map_err(at("opening the GPU"))?;
        // SAFETY: all work goes through one stream here, in order.
        unsafe { context.disable_event_tracking() };
        let ask = |attribute| context.attribute(attribute).map_err(at("asking the GPU"));
        let number = |attribute| ask(attribute).map(|n| u32::try_from(n).unwrap_or(0));
        let mut driver = 0;
        // SAFETY: writes one number.
        let version = unsafe { sys::cuDriverGetVersion(&raw mut driver) }.result();
        version.map_err(at("asking the driver"))?;
        let properties = Properties {
            name: context.name().map_err(at("asking the GPU"))?,
            capability: context.compute_capability().map_err(at("asking the GPU"))?,
            multiprocessors: number(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
            shared_bytes: number(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?,
            memory_bytes: context.total_mem().map_err(at("asking the GPU"))? as u64,
            driver,
        };
        if properties.capability.0 < 9 {
            return Err(CudaError::OldDevice {
                name: properties.name,
                major: properties.capability.0,
                minor: properties.capability.1,
            });
        }
        let stream = context.new_stream().map_err(at("opening the GPU"))?;
        Ok(Self {
            context,
            stream,
            properties,
            cache,
        })
    }

    /// What it is.
    #[must_use]
    pub fn properties(&self) -> &Properties {
        &self.properties
    }

    /// Bytes of its memory that are free now.
    ///
    /// # Errors
    /// The driver refused.
    pub fn free_bytes(&self) -> Result<u64, CudaError> {
        let (free, _) = self.context.mem_get_info().map_err(at("asking the GPU"))?;
        Ok(free as u64)
    }

    /// The machine code of some kernels for this GPU.
    pub(crate) fn code(&self, unit: Unit) -> Result<Vec<u8>, CudaError> {
        let architecture = self.properties.architecture();
        let cache = self.cache.as_deref();
        source::compiled(unit, &architecture, self.properties.driver, cache)
    }

    /// The kernels that `code` is of.
    pub(crate) fn module(&self, code: Vec<u8>) -> Result<Module, CudaError> {
        let module = self.context.load_module(Ptx::from_binary(code));
        module.map(Module).map_err(at("loading the kernels"))
    }
}

impl Module {
    /// A kernel whose blocks may have `shared` bytes of shared memory beside what it has itself.
    pub(crate) fn function(&self, name: &str, shared: usize) -> Result<CudaFunction, CudaError> {
        let function = self.0.load_function(name);
        let function = function.map_err(at("loading the kernels"))?;
        let most = CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        function
            .set_attribute(most, i32::try_from(shared).unwrap_or(i32::MAX))
            .map_err(at("asking for shared memory"))?;
        Ok(function)
    }
}
