//! A request body in pieces of known length.
//!
//! A question about 5,000 whole nodes is tens of megabytes: the nodes are sent from where they are kept. The length is
//! told ahead, since simple extenders do not read chunked bodies (upstream sends none).

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The pieces that are still to be sent.
#[derive(Debug)]
pub(crate) struct Pieces(VecDeque<Bytes>);

impl From<Vec<Bytes>> for Pieces {
    fn from(pieces: Vec<Bytes>) -> Pieces {
        Pieces(pieces.into())
    }
}

impl Pieces {
    /// How many bytes are still to be sent.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.iter().map(|piece| piece.len() as u64).sum()
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes())
    }
}
