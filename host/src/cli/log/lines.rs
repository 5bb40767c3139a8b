//! Lines that are written together.
//!
//! To write a line costs more than all else that a small request needs of the kernel but its reply,
//! and threads that write to one file wait for each other. So lines gather, and a thread writes them,
//! at latest [`DELAY`] after the first. A warning or an error is written at once, with what came
//! before it. At every end of the program that it can see, a panic included, all is written: what is
//! lost are the last milliseconds before SIGKILL, or before another signal that ends the program
//! unasked.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// How long a line waits for others.
const DELAY: Duration = Duration::from_millis(20);
/// Bytes that gather. Then whoever logs writes them, and waits as long as that takes: a reader that
/// stands still must not fill the memory.
const MOST: usize = 256 << 10;
/// Bytes that a pipe takes in one piece (POSIX allows it to be this little): whole lines are put
/// together up to here, so that nobody else's words come into the middle of one.
const PIECE: usize = 4096;

/// The lines, and where they go.
pub(super) struct Lines<W> {
    gathered: Mutex<Gathered>,
    /// The first line is there, or nothing gathers any more.
    changed: Condvar,
    /// Locked before `gathered`, and while it is written: lines stay in their order.
    output: Mutex<Output<W>>,
}

#[derive(Default)]
struct Gathered {
    bytes: Vec<u8>,
    /// There is a thread that writes them.
    is_waited_for: bool,
}

struct Output<W> {
    to: W,
    /// Empty, with room.
    spare: Vec<u8>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<W: Write> Lines<W> {
    /// Until [`Gathering`] starts, each line is written at once.
    pub(super) fn new(to: W) -> Self {
        let output = Mutex::new(Output { to, spare: Vec::new() });
        Self { gathered: Mutex::default(), changed: Condvar::new(), output }
    }

    fn add(&self, line: &[u8], at_once: bool) {
        let mut gathered = locked(&self.gathered);
        let is_first = gathered.bytes.is_empty();
        gathered.bytes.extend_from_slice(line);
        if at_once || !gathered.is_waited_for || gathered.bytes.len() >= MOST {
            drop(gathered);
            self.write_out();
        } else if is_first {
            drop(gathered);
            self.changed.notify_all();
        }
    }

    /// Writes what has gathered. Where it cannot be written there is nowhere to say so.
    pub(super) fn write_out(&self) {
        let Output { to, spare } = &mut *locked(&self.output);
        std::mem::swap(spare, &mut locked(&self.gathered).bytes);
        pieces(spare).for_each(|piece| drop(to.write_all(piece)));
        spare.clear();
        // One long line is no reason to keep as much room for good.
        spare.shrink_to(2 * MOST);
    }

    /// Writes whatever gathers, until nothing does any more.
    fn keep_writing(&self) {
        let mut gathered = locked(&self.gathered);
        while gathered.is_waited_for {
            if gathered.bytes.is_empty() {
                gathered = self.changed.wait(gathered).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let more = self.changed.wait_timeout_while(gathered, DELAY, |it| it.is_waited_for);
            drop(more.unwrap_or_else(PoisonError::into_inner));
            self.write_out();
            gathered = locked(&self.gathered);
        }
    }
}

/// The text in pieces of whole lines, each up to [`PIECE`] bytes or of one longer line.
fn pieces(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let end = |bytes: &[u8]| bytes.iter().rposition(|byte| *byte == b'\n');
        let fits = &rest[..rest.len().min(PIECE)];
        let line = || rest.iter().position(|byte| *byte == b'\n');
        let end = end(fits).or_else(line).map_or(rest.len(), |end| end + 1);
        let piece;
        (piece, rest) = rest.split_at(end);
        (!piece.is_empty()).then_some(piece)
    })
}

/// As long as this lives, lines gather.
pub(in crate::cli) struct Gathering<W: Write + Send + 'static = io::Stderr> {
    lines: Arc<Lines<W>>,
    thread: Option<JoinHandle<()>>,
}

impl<W: Write + Send + 'static> Gathering<W> {
    /// None when the machine has no thread for it; each line is written at once then.
    pub(super) fn start(lines: Arc<Lines<W>>) -> Option<Self> {
        locked(&lines.gathered).is_waited_for = true;
        let writer = lines.clone();
        let thread = thread::Builder::new().name("log".into()).spawn(move || writer.keep_writing());
        let thread = thread.inspect_err(|_| locked(&lines.gathered).is_waited_for = false).ok();
        Some(Self { thread: Some(thread?), lines })
    }
}

impl<W: Write + Send + 'static> Drop for Gathering<W> {
    fn drop(&mut self) {
        locked(&self.lines.gathered).is_waited_for = false;
        self.lines.changed.notify_all();
        self.lines.write_out();
        if let Some(thread) = self.thread.take() {
            // It has nothing left to write.
            let _ = thread.join();
        }
    }
}

/// Takes one event.
pub(super) struct Line<'a, W> {
    lines: &'a Lines<W>,
    at_once: bool,
}

impl<W: Write> Write for Line<'_, W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.lines.add(line, self.at_once);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the log writes to.
pub(super) struct Events<W>(pub(super) Arc<Lines<W>>);

impl<'a, W: Write + 'a> MakeWriter<'a> for Events<W> {
    type Writer = Line<'a, W>;

    fn make_writer(&'a self) -> Self::Writer {
        Line { lines: &self.0, at_once: true }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Self::Writer {
        // The graver, the smaller.
        Line { lines: &self.0, at_once: *metadata.level() <= Level::WARN }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, Receiver, Sender};

    use super::*;

    /// Each write as it comes.
    struct Writes(Sender<String>);

    impl Write for Writes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(String::from_utf8(bytes.to_vec()).unwrap()).unwrap();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines() -> (Arc<Lines<Writes>>, Receiver<String>) {
        let (sender, writes) = mpsc::channel();
        (Arc::new(Lines::new(Writes(sender))), writes)
    }

    fn next(writes: &Receiver<String>) -> String {
        writes.recv_timeout(Duration::from_secs(20)).unwrap()
    }

    // covers: log.lines
    #[test]
    fn lines_are_written_together_soon_and_trouble_at_once() {
        let (lines, writes) = lines();
        lines.add(b"early\n", false);
        assert_eq!(writes.try_recv().unwrap(), "early\n");
        let gathering = Gathering::start(lines.clone()).unwrap();
        // However slow this machine is, nothing is lost and nothing overtakes.
        lines.add(b"a\n", false);
        lines.add(b"b\n", false);
        let mut written = String::new();
        while written != "a\nb\n" {
            written += &next(&writes);
            assert!("a\nb\n".starts_with(&written), "{written}");
        }
        lines.add(b"c\n", false);
        lines.add(b"trouble\n", true);
        let mut written: String = writes.try_iter().collect();
        assert_eq!(written, "c\ntrouble\n");
        // What is gathered is written at the end; what comes later, at once.
        lines.add(b"d\n", false);
        drop(gathering);
        lines.add(b"late\n", false);
        written = writes.try_iter().collect();
        assert_eq!(written, "d\nlate\n");
    }

    #[test]
    fn whoever_logs_too_much_writes_it() {
        let (lines, writes) = lines();
        // Nobody writes them, and it is thought that somebody does.
        locked(&lines.gathered).is_waited_for = true;
        let line = [[b'x'; 99].as_slice(), b"\n"].concat();
        let added = (0..).take_while(|_| {
            lines.add(&line, false);
            !locked(&lines.gathered).bytes.is_empty()
        });
        let bytes = 100 * (added.count() + 1);
        assert!((MOST..MOST + 100).contains(&bytes), "{bytes}");
        assert_eq!(writes.try_iter().map(|piece| piece.len()).sum::<usize>(), bytes);
    }

    // covers: log.lines
    #[test]
    fn a_piece_is_of_whole_lines() {
        let long = "x".repeat(2 * PIECE);
        let short = "y".repeat(PIECE / 3);
        let text = format!("{short}\n{short}\n{short}\n{long}\n\nend\n{short}");
        let pieces: Vec<_> = pieces(text.as_bytes()).collect();
        assert_eq!(pieces.concat(), text.as_bytes());
        let starts: Vec<_> = pieces.iter().map(|piece| piece[0] as char).collect();
        assert_eq!(starts, ['y', 'y', 'x', '\n', 'y']);
        for piece in &pieces[..4] {
            assert!(piece.ends_with(b"\n"));
            assert!(piece.len() <= PIECE || piece.len() == long.len() + 1);
        }
    }
}
