//! What x86 processors say of themselves by the CPUID instruction. Sources: Intel SDM volume 2A, AMD APM volume 3.
//!
//! Elsewhere every answer is `None`.

/// Registers of one CPUID leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// EAX.
    pub eax: u32,
    /// EBX.
    pub ebx: u32,
    /// ECX.
    pub ecx: u32,
    /// EDX.
    pub edx: u32,
}

/// Reads a leaf; `None` where the processor has no such leaf, or no CPUID at all.
#[must_use]
pub fn leaf(leaf: u32, sub_leaf: u32) -> Option<Leaf> {
    read(leaf, sub_leaf)
}

#[cfg(target_arch = "x86_64")]
fn read(leaf: u32, sub_leaf: u32) -> Option<Leaf> {
    use std::arch::x86_64::__cpuid_count;
    const HYPERVISOR: u32 = 0x4000_0000;
    // Each range states its highest leaf in EAX of its first; beyond it, Intel answers with unrelated data. The hypervisor's
    // range only exists where the hypervisor bit of leaf 1 is set.
    let range = leaf & 0xF000_0000;
    if range == HYPERVISOR && __cpuid_count(1, 0).ecx >> 31 & 1 == 0 {
        return None;
    }
    if leaf > __cpuid_count(range, 0).eax {
        return None;
    }
    let answer = __cpuid_count(leaf, sub_leaf);
    Some(Leaf {
        eax: answer.eax,
        ebx: answer.ebx,
        ecx: answer.ecx,
        edx: answer.edx,
    })
}

#[cfg(not(target_arch = "x86_64"))]
fn read(_leaf: u32, _sub_leaf: u32) -> Option<Leaf> {
    None
}

/// Name of the hypervisor: its 12 characters, translated where they are well known; empty on a bare machine.
#[must_use]
pub fn hypervisor() -> Option<String> {
    if leaf(1, 0)?.ecx >> 31 & 1 == 0 {
        return Some(String::new());
    }
    let Some(answer) = leaf(0x4000_0000, 0) else {
        return Some("unnamed".into());
    };
    let bytes: Vec<u8> = [answer.ebx, answer.ecx, answer.edx]
        .into_iter()
        .flat_map(u32::to_le_bytes)
        .collect();
    let signature = String::from_utf8_lossy(&bytes);
    Some(match signature.trim_matches('\0').trim() {
        "KVMKVMKVM" => "KVM".into(),
        "Microsoft Hv" => "Hyper-V".into(),
        "VMwareVMware" => "VMware".into(),
        "XenVMMXenVMM" => "Xen".into(),
        "TCGTCGTCGTCG" => "QEMU".into(),
        "bhyve bhyve" => "bhyve".into(),
        "" => "unnamed".into(),
        other => super::files::excerpt(other),
    })
}

/// Base and maximum frequency in MHz from leaf 0x16; 0 means not stated.
#[must_use]
pub fn frequencies_mhz() -> Option<(u32, u32)> {
    let answer = leaf(0x16, 0)?;
    (answer.eax & 0xFFFF != 0).then_some((answer.eax & 0xFFFF, answer.ebx & 0xFFFF))
}

/// Whether the processor mixes kinds of cores.
#[must_use]
pub fn is_hybrid() -> bool {
    leaf(7, 0).is_some_and(|leaf| leaf.edx >> 15 & 1 == 1)
}
