//! The host's side of `wit/`, generated: the traits that capabilities implement, and the calls
//! into a component.

#![allow(missing_docs, clippy::all, reason = "generated; wit/ has the documentation")]

// What every plugin is.
wasmtime::component::bindgen!({
    path: "../wit",
    world: "extension",
    // A capability may end the call, when it is over its budget.
    imports: { default: trappable },
    exports: { default: async },
});

/// What the clustering plugin exports besides.
pub mod clustering {
    wasmtime::component::bindgen!({
        path: "../wit",
        inline: "
            package harper:host;
            world answering {
                export harper:plugin/peer@0.1.0;
            }
        ",
        world: "harper:host/answering",
        exports: { default: async },
    });
}
