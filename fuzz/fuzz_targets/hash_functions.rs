//! H and Φ of both families against the formulas on integers that do not wrap.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringherd::ring::{Family, Hash, MAX_SLOTS};
use ringherd_fuzz::model::{first_slot, request_slot};

fuzz_target!(|case: (u32, u64, u32, u32)| {
    let (slots, request, number, virtual_node) = case;
    let slots = 1 + slots % MAX_SLOTS;
    // Multiples of M and their neighbours are where a rounding error would show.
    let multiple = request / u64::from(slots) * u64::from(slots);
    for &family in Family::ALL {
        let hash = Hash::new(family, slots);
        for request in [request, multiple, multiple.wrapping_sub(1), u64::MAX - request % 64] {
            assert_eq!(
                hash.request(request),
                request_slot(family, slots, request),
                "H({request}), M {slots}"
            );
        }
        for j in [virtual_node % slots, virtual_node % 300, virtual_node] {
            assert_eq!(
                hash.virtual_node(number, j),
                first_slot(family, slots, number, j),
                "Φ({number}, {j})"
            );
        }
    }
});
