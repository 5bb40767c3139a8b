//! The host's side of `wit/`, generated: the traits that capabilities implement, and the calls
//! into a component.

#![allow(missing_docs, clippy::all, reason = "generated; wit/ has the documentation")]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "clustering",
    // A capability may end the call, when it is over its budget.
    imports: { default: trappable },
    exports: { default: async },
});
