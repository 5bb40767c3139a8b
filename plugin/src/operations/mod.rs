//! One file an operation, named as the API names it.

pub mod add_node;
pub mod cluster_delete_routes;
pub mod cluster_get_routes;
pub mod cluster_network;
pub mod cluster_set_routes;
pub mod cluster_status;
pub mod configure_cluster;
pub mod purge_stream;
pub mod remove_node;
pub mod set_node_replication;
pub mod update_node;
