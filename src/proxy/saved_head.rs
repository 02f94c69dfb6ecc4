//! The head of a request, kept so that the request can be sent again.
//!
//! hyper takes the head that it sends. Few requests are sent twice, so saving must be cheap: the
//! client's fields are kept as flat text in a buffer that the worker uses again, which costs less than half of a
//! cloned header map; those that forwarding adds are added again.

use std::cell::RefCell;

use http::{Extensions, HeaderName, HeaderValue, Method, Request, Uri};

use super::forwarding::Forwarding;
use super::upload::RequestBody;
use super::via::Via;

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
    /// The letters that names came with, where they are kept.
    extensions: Option<Extensions>,
    /// Names and values in turn, each with a separator behind it.
    fields: Vec<u8>,
    forwarding: &'a Forwarding,
    /// The client's address.
    client: &'a HeaderValue,
    via: Option<&'a Via>,
    buffers: &'a Buffers,
}

impl<'a> SavedHead<'a> {
    /// The head of `request`, to which nothing has been added yet.
    pub(crate) fn of<B>(
        request: &Request<B>,
        forwarding: &'a Forwarding,
        client: &'a HeaderValue,
        via: Option<&'a Via>,
        keeps_case: bool,
        buffers: &'a Buffers,
    ) -> Self {
        let mut fields = buffers.0.borrow_mut().pop().unwrap_or_default();
        for (name, value) in request.headers() {
            fields.extend_from_slice(name.as_str().as_bytes());
            fields.push(SEPARATOR);
            fields.extend_from_slice(value.as_bytes());
            fields.push(SEPARATOR);
        }
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            extensions: keeps_case.then(|| request.extensions().clone()),
            fields,
            forwarding,
            client,
            via,
            buffers,
        }
    }

    /// The request once more, as HTTP/1.1.
    pub(crate) fn to_request(&self) -> Request<RequestBody> {
        let mut request = Request::new(RequestBody::Empty);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        if let Some(extensions) = &self.extensions {
            *request.extensions_mut() = extensions.clone();
        }
        let mut parts = self.fields.split(|byte| *byte == SEPARATOR);
        while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
            let name = HeaderName::from_bytes(name).expect("the name of a field");
            let value = HeaderValue::from_bytes(value).expect("the value of a field");
            request.headers_mut().append(name, value);
        }
        self.forwarding.add_to(request.headers_mut(), self.client, self.via);
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
    use super::super::headers;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_saved_head_is_the_head(
            fields in prop::collection::vec(("x-[a-z0-9-]{1,20}", prop::collection::vec(32u8..127, 0..40)), 0..20),
        ) {
            let (buffers, client) = (Buffers::default(), HeaderValue::from_static("10.0.0.1"));
            // Twice, so that the second one has the buffer of the first.
            for _ in 0..2 {
                let mut request = Request::new(());
                *request.method_mut() = Method::OPTIONS;
                *request.uri_mut() = Uri::from_static("/a?b=c");
                for (name, value) in &fields {
                    let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                    request.headers_mut().append(name, HeaderValue::from_bytes(value).unwrap());
                }
                request.headers_mut().insert("host", HeaderValue::from_static("a"));
                let via = Via::new(1);
                let headers::Cleaned { forwarding, .. } =
                    headers::clean_request(&mut request, true, Some(&via)).unwrap();
                let again = SavedHead::of(&request, &forwarding, &client, Some(&via), false, &buffers).to_request();
                forwarding.add_to(request.headers_mut(), &client, Some(&via));
                prop_assert_eq!(again.method(), request.method());
                prop_assert_eq!(again.uri(), request.uri());
                prop_assert_eq!(again.headers(), request.headers());
            }
        }
    }
}
