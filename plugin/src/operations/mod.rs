//! One file an operation, named as the API names it.

pub mod cluster_delete_routes;
pub mod cluster_get_routes;
pub mod cluster_network;
pub mod cluster_set_routes;
pub mod cluster_status;
