//! What the fuzz targets share: the naive ring of the tests, and arbitrary parameters.

use arbitrary::{Arbitrary, Unstructured};
use ringherd::ring::{Family, Params, Placement, Probing};

#[path = "../../tests/model/mod.rs"]
pub mod model;

/// The most slots of a fuzzed ring: small, so that one execution is fast and collisions are many.
const MOST_SLOTS: u32 = 600;

/// Sizes for quadratic probing, of both kinds.
const SIZES: &[u32] = &[1, 2, 3, 4, 7, 8, 11, 16, 31, 64, 67, 127, 128, 251, 256, 503, 512];

/// Valid parameters of a small ring of any placement.
#[derive(Debug)]
pub struct SmallRing(pub Params);

impl<'a> Arbitrary<'a> for SmallRing {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let family = *u.choose(Family::ALL)?;
        let (probing, slots) = if u.arbitrary()? {
            (Probing::Quadratic, *u.choose(SIZES)?)
        } else {
            (Probing::Linear, u.int_in_range(1..=MOST_SLOTS)?)
        };
        let placement = *u.choose(Placement::ALL)?;
        let virtual_nodes = u.int_in_range(1..=slots)?;
        let params = Params::new(family, probing, placement, slots, virtual_nodes);
        Ok(Self(params.expect("valid by construction")))
    }
}
