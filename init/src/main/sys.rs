//! Stand-ins for libunwind, a fifth of the program without them.
//!
//! The standard library's own panic hook prints backtraces and brings an
//! unwinder, a DWARF reader and a demangler along. /init has a hook of its
//! own, panics abort, and the binary has no debug information: nothing of it
//! can ever run. With these in its place the linker sees that too.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};

macro_rules! never_called {
    ($($name:ident),* $(,)?) => {
        $(
            // SAFETY: the name is libunwind's, and this program is not linked with it.
            #[unsafe(no_mangle)]
            extern "C" fn $name() -> *mut c_void {
                std::process::abort()
            }
        )*
    };
}

// SAFETY: as above. The signature is the C++ ABI's, and so is the answer: no frames.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Backtrace(_each: *mut c_void, _arg: *mut c_void) -> c_int {
    const URC_END_OF_STACK: c_int = 5;
    URC_END_OF_STACK
}

never_called!(
    _Unwind_DeleteException,
    _Unwind_FindEnclosingFunction,
    _Unwind_GetCFA,
    _Unwind_GetDataRelBase,
    _Unwind_GetIP,
    _Unwind_GetIPInfo,
    _Unwind_GetLanguageSpecificData,
    _Unwind_GetRegionStart,
    _Unwind_GetTextRelBase,
    _Unwind_RaiseException,
    _Unwind_Resume,
    _Unwind_SetGR,
    _Unwind_SetIP,
);
