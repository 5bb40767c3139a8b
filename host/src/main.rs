//! The program: `harper-host run` is a node, `harper-host OPERATION` asks one.

mod allocator;
mod cli;

fn main() -> std::process::ExitCode {
    allocator::keep_nothing();
    cli::main()
}
