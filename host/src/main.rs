//! The program: `harper-host run` is a node, `harper-host OPERATION` asks one.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
