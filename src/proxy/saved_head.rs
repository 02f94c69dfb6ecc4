//! The head of a request, kept so that the request can be sent again.
//!
//! hyper takes the head that it sends, and hardly any request is sent twice. So the fields are kept
//! as flat text in a buffer that the worker uses again, which costs a third of a cloned header map.

use std::cell::RefCell;

use http::{HeaderName, HeaderValue, Method, Request, Uri};

use super::upload::RequestBody;

/// Buffers kept for later requests; more are freed.
const MAX_SPARE: usize = 256;

/// Largest buffer that is kept, in bytes.
const MAX_SPARE_BYTES: usize = 16 * 1024;

/// Neither names nor values of fields contain it.
const SEPARATOR: u8 = b'\n';

/// The buffers of one worker.
#[derive(Debug, Default)]
pub(crate) struct Buffers(RefCell<Vec<Vec<u8>>>);

/// What it takes to send a request without a body again.
#[derive(Debug)]
pub(crate) struct SavedHead<'a> {
    method: Method,
    uri: Uri,
    /// Names and values in turn, each with a separator behind it.
    fields: Vec<u8>,
    buffers: &'a Buffers,
}

impl<'a> SavedHead<'a> {
    pub(crate) fn of<B>(request: &Request<B>, buffers: &'a Buffers) -> Self {
        let mut fields = buffers.0.borrow_mut().pop().unwrap_or_default();
        for (name, value) in request.headers() {
            fields.extend_from_slice(name.as_str().as_bytes());
            fields.push(SEPARATOR);
            fields.extend_from_slice(value.as_bytes());
            fields.push(SEPARATOR);
        }
        Self { method: request.method().clone(), uri: request.uri().clone(), fields, buffers }
    }

    /// The request once more, as HTTP/1.1.
    pub(crate) fn to_request(&self) -> Request<RequestBody> {
        let mut request = Request::new(RequestBody::Empty);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        let mut parts = self.fields.split(|byte| *byte == SEPARATOR);
        while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
            let name = HeaderName::from_bytes(name).expect("the name of a field");
            let value = HeaderValue::from_bytes(value).expect("the value of a field");
            request.headers_mut().append(name, value);
        }
        request
    }
}

impl Drop for SavedHead<'_> {
    fn drop(&mut self) {
        let mut fields = std::mem::take(&mut self.fields);
        let mut spare = self.buffers.0.borrow_mut();
        if spare.len() < MAX_SPARE && fields.capacity() <= MAX_SPARE_BYTES {
            fields.clear();
            spare.push(fields);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_saved_head_is_the_head(
            fields in prop::collection::vec(("[a-z][a-z0-9-]{0,20}", prop::collection::vec(32u8..127, 0..40)), 0..20),
        ) {
            let buffers = Buffers::default();
            // Twice, so that the second one has the buffer of the first.
            for _ in 0..2 {
                let mut request = Request::new(());
                *request.method_mut() = Method::OPTIONS;
                *request.uri_mut() = Uri::from_static("/a?b=c");
                for (name, value) in &fields {
                    let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                    request.headers_mut().append(name, HeaderValue::from_bytes(value).unwrap());
                }
                let again = SavedHead::of(&request, &buffers).to_request();
                prop_assert_eq!(again.method(), request.method());
                prop_assert_eq!(again.uri(), request.uri());
                prop_assert_eq!(again.headers(), request.headers());
            }
        }
    }
}
