//! The host's side of `wit/`, generated: the traits that capabilities implement, and the calls
//! into a component.

#![allow(missing_docs, clippy::all, reason = "generated; wit/ has the documentation")]

// What every plugin is.
wasmtime::component::bindgen!({
    path: "../wit",
    inline: "
        package harper:host;
        world extension {
            include harper:plugin/extension@0.1.0;
            // For the clustering plugin alone; whoever else imports it is told that it is not granted.
            import harper:plugin/replication@0.1.0;
        }
    ",
    world: "harper:host/extension",
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
            world clustering {
                export harper:plugin/peer@0.1.0;
                export harper:plugin/recovery@0.1.0;
            }
        ",
        world: "harper:host/clustering",
        exports: { default: async },
    });
}
