//! A stream with an end to patience: a client who does not take the reply is cut off, and one who
//! is still sending when it was refused gets to read why.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// The slowest that a client may take a reply once it has used up its patience, in bytes a second.
const SLOWEST: u64 = 16 << 10;
/// How long to read on after a refusal. Closing with bytes unread resets the connection, and the
/// reset would overtake the refusal.
const LINGER: Duration = Duration::from_secs(1);

/// A stream with both limits.
pub(super) struct Transport<S> {
    stream: S,
    patience: Duration,
    unread: Arc<AtomicBool>,
    /// Runs from the first write that had to wait until all is written.
    late: Option<Pin<Box<Sleep>>>,
    linger: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Transport<S> {
    /// A client may let a reply wait for `patience`, and longer by what it takes of it meanwhile.
    /// `unread` says at the end whether it may still be sending.
    pub(super) fn new(stream: S, patience: Duration, unread: Arc<AtomicBool>) -> Transport<S> {
        Transport { stream, patience, unread, late: None, linger: None }
    }

    /// The result, unless it is still awaited when the client has used up its patience.
    fn in_time<T>(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if result.is_ready() {
            return result;
        }
        let patience = self.patience;
        let late = self.late.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(late.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn written(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let (Poll::Ready(Ok(bytes)), Some(late)) = (&result, &mut self.late) {
            let earned = Duration::from_micros(*bytes as u64 * 1_000_000 / SLOWEST);
            let until = late.deadline() + earned;
            late.as_mut().reset(until);
        }
        self.in_time(cx, result)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Transport<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Transport<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.written(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes when nothing is left to write; TLS may have kept some of it until now.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        ready!(self.in_time(cx, result))?;
        self.late = None;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            let result = Pin::new(&mut self.stream).poll_shutdown(cx);
            ready!(self.in_time(cx, result))?;
            if !self.unread.load(Relaxed) {
                return Poll::Ready(Ok(()));
            }
        }
        let this = &mut *self;
        let linger = this.linger.get_or_insert_with(|| Box::pin(sleep(LINGER)));
        let mut bytes = [0; 8 << 10];
        while linger.as_mut().poll(cx).is_pending() {
            let mut buffer = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::{
        io::{AsyncWriteExt, DuplexStream, duplex},
        time::Instant,
    };

    use super::*;

    /// As TLS does: takes what is written and passes it on when it is told to.
    struct Keeping(DuplexStream, Vec<u8>);

    impl AsyncRead for Keeping {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_read(cx, buffer)
        }
    }

    impl AsyncWrite for Keeping {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.1.extend_from_slice(bytes);
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            let Keeping(stream, kept) = &mut *self;
            while !kept.is_empty() {
                let written = ready!(Pin::new(&mut *stream).poll_write(cx, kept))?;
                kept.drain(..written);
            }
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            ready!(self.as_mut().poll_flush(cx))?;
            Pin::new(&mut self.0).poll_shutdown(cx)
        }
    }

    const PATIENCE: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn what_is_kept_back_is_not_waited_for_forever() {
        for shutdown in [false, true] {
            let (_client, stream) = duplex(10);
            let keeping = Keeping(stream, Vec::new());
            let mut transport = Transport::new(keeping, PATIENCE, Arc::default());
            transport.write_all(&[0; 11]).await.unwrap();
            let start = Instant::now();
            let mut transport = Pin::new(&mut transport);
            let ended = poll_fn(|cx| match shutdown {
                false => transport.as_mut().poll_flush(cx),
                true => transport.as_mut().poll_shutdown(cx),
            });
            assert_eq!(ended.await.unwrap_err().kind(), io::ErrorKind::TimedOut);
            assert_eq!(start.elapsed().as_secs(), PATIENCE.as_secs());
        }
    }
}
