//! The program's allocator.
#![allow(unsafe_code, reason = "mimalloc's options can be set through its C interface alone")]

/// A request allocates some hundred times; and what one large call needed goes back to the system,
/// where that of the C library keeps it in an arena for each thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay`: milliseconds until unused memory goes back to the system.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// Has unused memory go back at once. With a delay it goes back when something else is freed later:
/// a node at rest would keep the 19 MiB of its last login.
pub(crate) fn keep_nothing() {
    // SAFETY: it writes one of mimalloc's own variables, atomically.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, 0) }
}
