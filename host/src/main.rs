//! The host's program: `harper-host run --rootpath DIR`.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
