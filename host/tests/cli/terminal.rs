//! Questions, at a pseudo-terminal.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Instant;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};
use tokio::signal::unix::{SignalKind, signal};

use crate::node::{DEADLINE, Node, PASSWORD, program};

/// Tells [`on_a_terminal`] which one, and the rest what to run there.
const TERMINAL: &str = "TERMINAL_OF_THE_TEST";

/// A program with a terminal of its own, and the test at its keyboard.
struct Terminal {
    process: Child,
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    /// What is on the screen.
    seen: String,
}

impl Terminal {
    /// Starts the program with these words.
    fn start(words: &[&str], variables: &[(&str, &str)]) -> Self {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC);
        let keyboard = keyboard.unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let name = ptsname(&keyboard, Vec::new()).unwrap();
        let path = Path::new(name.to_str().unwrap());
        let mut helper = Command::new(std::env::current_exe().unwrap());
        let process = helper
            .args(["--exact", "terminal::on_a_terminal"])
            .env(TERMINAL, serde_json::to_string(&(path, words, variables)).unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut display = File::from(keyboard.try_clone().unwrap());
        let (show, screen) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // It fails when nobody has the terminal open any more.
            while let Ok(count) = display.read(&mut bytes) {
                if show.send(bytes[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { process, keyboard: keyboard.into(), screen, seen: String::new() }
    }

    /// Waits until this is on the screen, and clears it up to there.
    fn sees(&mut self, text: &str) -> String {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some((before, after)) = self.seen.split_once(text) {
                let before = before.to_owned();
                self.seen = after.to_owned();
                return before;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.screen.recv_timeout(left) {
                Ok(bytes) => self.seen += str::from_utf8(&bytes).unwrap(),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("no {text:?} in {:?}", self.seen)
                }
            }
        }
    }

    fn types(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).unwrap();
    }

    /// Types a password and Enter, once what is typed is not shown any more.
    fn types_secretly(&mut self, password: &str) {
        let deadline = Instant::now() + DEADLINE;
        while tcgetattr(&self.keyboard).unwrap().local_modes.contains(LocalModes::ECHO) {
            assert!(Instant::now() < deadline, "it would be shown");
            std::thread::yield_now();
        }
        self.types(&format!("{password}\n"));
    }

    /// Its exit code, and what was left on the screen.
    fn ended(mut self) -> (i32, String) {
        loop {
            match self.screen.recv_timeout(DEADLINE) {
                Ok(bytes) => self.seen += str::from_utf8(&bytes).unwrap(),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end: {:?}", self.seen),
            }
        }
        drop(self.process.stdin.take());
        let code = self.process.wait().unwrap().code().unwrap();
        (code, self.seen.replace("\r\n", "\n"))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// No test of its own: [`Terminal::start`] runs it in a process of its own, which leads a session at
/// that terminal and runs the program there. It stays until its standard input is closed: when the
/// leader of a session ends, the kernel throws away what nobody has read from the terminal yet.
#[test]
fn on_a_terminal() {
    let Ok(text) = std::env::var(TERMINAL) else {
        return;
    };
    let (path, words, variables): (String, Vec<String>, Vec<(String, String)>) =
        serde_json::from_str(&text).unwrap();
    rustix::process::setsid().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _guard = runtime.enter();
    // Ctrl-C is for the program; whoever catches it goes on.
    let _interrupts = signal(SignalKind::interrupt()).unwrap();
    let terminal = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut program = program();
    program.args(words).envs(variables).env_remove(TERMINAL);
    program.stdin(terminal.try_clone().unwrap()).stdout(terminal.try_clone().unwrap());
    let mut process = program.stderr(terminal).spawn().unwrap();
    // It holds this process's copies of the terminal.
    drop(program);
    let status = process.wait().unwrap();
    let _ = std::io::stdin().read(&mut [0]);
    std::process::exit(status.code().unwrap_or(101));
}

fn routes(node: &Node) -> String {
    let output = program()
        .args(["cluster_get_routes", "json=true", "--rootpath"])
        .arg(node.root())
        .output()
        .unwrap();
    let reply: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    reply.to_string()
}

// covers: cli.destructive.asks
#[test]
fn it_asks_before_something_is_taken_away() {
    const ROUTES: &str = r#"[{"host":"10.0.0.2","port":9932}]"#;
    let node = Node::start();
    let root = node.root().to_str().unwrap();
    let set = ["cluster_set_routes", "server=hub", &format!("routes={ROUTES}"), "--rootpath", root];
    assert!(program().args(set).stdout(Stdio::null()).status().unwrap().success());
    let before = routes(&node);
    let delete = ["cluster_delete_routes", &format!("routes={ROUTES}"), "--rootpath", root];
    let asked = format!(
        "Nodes that are reached over these routes alone are cut off.\n\
         To {root}/operations-server goes:\n  operation: cluster_delete_routes\n  routes:\n  \
         - host: 10.0.0.2\n    port: 9932\n"
    );
    for no in ["n\n", "\n", "yes please\n", "\u{4}"] {
        let mut terminal = Terminal::start(&delete, &[]);
        assert_eq!(terminal.sees("Go on? [y/N] ").replace("\r\n", "\n"), asked);
        terminal.types(no);
        let (code, rest) = terminal.ended();
        assert!(rest.ends_with("harper-host: nothing was sent\n"), "{no:?}: {rest}");
        assert_eq!((code, routes(&node)), (1, before.clone()));
    }
    let mut terminal = Terminal::start(&delete, &[]);
    terminal.sees("Go on? [y/N] ");
    terminal.types("Y\n");
    let (code, rest) = terminal.ended();
    assert_eq!(code, 0, "{rest}");
    assert!(rest.ends_with("deleted:\n- host: 10.0.0.2\n  port: 9932\nskipped: []\n"), "{rest}");
    assert_eq!(routes(&node), r#"{"hub":[],"leaf":[]}"#);

    let (code, rest) = Terminal::start(&[&delete[..], &["--force"]].concat(), &[]).ended();
    assert!(code == 0 && !rest.contains("Go on?"), "{rest}");
}

// covers: cli.purge.asks
#[test]
fn before_a_purge_it_says_who_has_not_read_what_would_go() {
    let node = Node::start_in_a_cluster();
    let root = node.root().to_str().unwrap();
    let words = ["purge_stream", "database=dev", "table=dog", "--rootpath", root];
    let mut terminal = Terminal::start(&words, &[]);
    let asked = terminal.sees("Go on? [y/N] ").replace("\r\n", "\n");
    let expected = "What is purged never gets to a node that has not read it yet.\n\
                    Nobody reads this table: it has no stream.\nTo ";
    assert!(asked.starts_with(expected), "{asked}");
    terminal.types("n\n");
    assert!(terminal.ended().1.ends_with("harper-host: nothing was sent\n"));

    // The login is asked for first, and once.
    let target = format!("target={}", node.url);
    let words = ["purge_stream", "database=dev", "table=dog", &target];
    let mut terminal = Terminal::start(&words, &[("HDB_ADMIN_USERNAME", "admin")]);
    terminal.sees("Password of admin at ");
    terminal.types_secretly(PASSWORD);
    terminal.sees("Nobody reads this table: it has no stream.");
    terminal.sees("Go on? [y/N] ");
    terminal.types("y\n");
    let (code, rest) = terminal.ended();
    assert!(code == 1 && rest.ends_with("harper-host: database 'dev' does not exist\n"), "{rest}");

    // A node that is none of a cluster does not know, and is asked all the same.
    let node = Node::start();
    let words = ["purge_stream", "database=dev", "table=dog", "--rootpath"];
    let words = [&words[..], &[node.root().to_str().unwrap()]].concat();
    let mut terminal = Terminal::start(&words, &[]);
    let asked = terminal.sees("Go on? [y/N] ");
    let unknown = "Which nodes have read it is not known: Clustering is not enabled";
    assert!(asked.contains(unknown), "{asked}");
    terminal.types("n\n");
    terminal.ended();
}

// covers: cli.login.prompt
#[test]
fn it_asks_for_a_login() {
    let node = Node::start();
    let target = format!("target={}", node.url);
    let words = ["cluster_get_routes", &target];

    let mut terminal = Terminal::start(&words, &[]);
    terminal.sees(&format!("User at {}: ", node.url));
    terminal.types("admin\n");
    terminal.sees(&format!("Password of admin at {}: ", node.url));
    terminal.types_secretly(PASSWORD);
    let (code, rest) = terminal.ended();
    assert_eq!((code, rest.trim_start()), (0, "hub: []\nleaf: []\n"), "it is not shown");

    let mut terminal = Terminal::start(&words, &[("HDB_ADMIN_USERNAME", "admin")]);
    let before = terminal.sees(&format!("Password of admin at {}: ", node.url));
    assert_eq!(before, "", "the name is known");
    terminal.types_secretly("wrong");
    let (code, rest) = terminal.ended();
    assert_eq!((code, rest.trim_start()), (1, "harper-host: Login failed\n"));

    let mut terminal = Terminal::start(&words, &[]);
    terminal.sees("User at ");
    terminal.types("\n");
    let (code, rest) = terminal.ended();
    let text = "harper-host: a user's name is not empty and has no colon\n";
    assert!(code == 2 && rest.ends_with(text), "{rest}");
}

#[test]
fn it_asks_for_the_password_of_a_new_user() {
    let node = Node::start();
    let root = node.root().to_str().unwrap();
    let words = ["add_user", "role=super_user", "username=bob", "--rootpath", root];

    let mut terminal = Terminal::start(&words, &[]);
    terminal.sees("New password, for add_user: ");
    terminal.types_secretly("secret of bob");
    terminal.sees("New password, for add_user again: ");
    terminal.types_secretly("secret of rob");
    let (code, rest) = terminal.ended();
    assert_eq!((code, rest.trim_start()), (1, "harper-host: the passwords differ\n"));

    let mut terminal = Terminal::start(&words, &[]);
    for question in ["New password, for add_user: ", "New password, for add_user again: "] {
        terminal.sees(question);
        terminal.types_secretly("secret of bob");
    }
    let (code, rest) = terminal.ended();
    assert_eq!((code, rest.trim_start()), (0, "message: bob successfully added\n"));

    let login = [("CLI_TARGET_USERNAME", "bob"), ("CLI_TARGET_PASSWORD", "secret of bob")];
    let mut command = program();
    command.args(["user_info", &format!("target={}", node.url)]).envs(login);
    let output = command.output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().contains("username: bob\n"));
}

#[test]
fn a_first_start_asks_for_the_first_super_user() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_str().unwrap();
    let words = ["run", "--rootpath", root];
    let port = [("OPERATIONSAPI_NETWORK_PORT", "0")];

    let mut terminal = Terminal::start(&words, &port);
    terminal.sees("Name of the first super_user: ");
    terminal.types("\n");
    let (code, rest) = terminal.ended();
    assert!(code == 1 && rest.ends_with("harper-host: no name was given\n"), "{rest}");

    let mut terminal = Terminal::start(&words, &port);
    terminal.sees("Name of the first super_user: ");
    terminal.types("bob\n");
    for question in ["Password: ", "Password again: "] {
        terminal.sees(question);
        terminal.types_secretly("secret of bob");
    }
    let before = terminal.sees("harper-host is ready at ");
    assert!(!before.contains("secret of bob"), "{before}");
    // Ctrl-C.
    terminal.types("\u{3}");
    terminal.sees("stopped");
    assert_eq!(terminal.ended().0, 0);
}

/// At each question of the first start.
// covers: cli.run.first-questions-end
#[test]
fn a_first_start_ends_at_its_questions() {
    let folder = tempfile::tempdir().unwrap();
    let words = ["run", "--rootpath", folder.path().to_str().unwrap()];
    let port = [("OPERATIONSAPI_NETWORK_PORT", "0")];
    for answers in [&[][..], &["bob\n"]] {
        let mut terminal = Terminal::start(&words, &port);
        terminal.sees("Name of the first super_user: ");
        for answer in answers {
            terminal.types(answer);
            terminal.sees("Password: ");
        }
        // Ctrl-C.
        terminal.types("\u{3}");
        let (code, rest) = terminal.ended();
        assert!(code == 1 && rest.ends_with("stopped: there is no super_user yet\n"), "{rest}");
    }
}
