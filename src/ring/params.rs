//! Checked parameters: what makes two rings of the same replicas the same ring.

use super::cost::MAX_COSTS;
use super::probing::Sequence;
use super::{Family, MAX_NODES, MAX_SLOTS, ParamsError, Placement, Probing};

/// Parameters of a ring, valid together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params {
    family: Family,
    probing: Probing,
    placement: Placement,
    slots: u32,
    virtual_nodes: u32,
}

impl Default for Params {
    /// `modified`, `quadratic`, `ring`, 65,539 slots, 256 virtual nodes. The size is the smallest
    /// prime of the form 4n + 3 above 65,536: odd, so that the family reaches every slot, and
    /// with an owner table of 128 KiB. With 256 virtual nodes the busiest of ten replicas has
    /// 1.09 times its share.
    fn default() -> Self {
        Self {
            family: Family::default(),
            probing: Probing::default(),
            placement: Placement::default(),
            slots: 65_539,
            virtual_nodes: 256,
        }
    }
}

impl Params {
    /// Checks parameters. `slots` is 1 to [`MAX_SLOTS`] and, for quadratic probing on a ring,
    /// a power of two or a prime of the form 4n + 3; `virtual_nodes` is 1 to `slots`.
    /// The other placements have neither virtual nodes nor collisions and so accept every
    /// number of slots, with probing and virtual nodes kept but unused.
    pub fn new(
        family: Family,
        probing: Probing,
        placement: Placement,
        slots: u32,
        virtual_nodes: u32,
    ) -> Result<Self, ParamsError> {
        if !(1..=MAX_SLOTS).contains(&slots) {
            return Err(ParamsError::Slots { slots });
        }
        if placement == Placement::Ring {
            Sequence::new(probing, slots)?;
            if !(1..=slots).contains(&virtual_nodes) {
                return Err(ParamsError::VirtualNodes { virtual_nodes, slots });
            }
        }
        Ok(Self { family, probing, placement, slots, virtual_nodes })
    }

    /// The pair of hash functions.
    pub fn family(&self) -> Family {
        self.family
    }

    /// How collisions are resolved.
    pub fn probing(&self) -> Probing {
        self.probing
    }

    /// How slots get their owners.
    pub fn placement(&self) -> Placement {
        self.placement
    }

    /// `M`, 1 to [`MAX_SLOTS`].
    pub fn slots(&self) -> u32 {
        self.slots
    }

    /// `K`: virtual nodes of a replica of full weight.
    pub fn virtual_nodes(&self) -> u32 {
        self.virtual_nodes
    }

    /// The largest number of replicas that fits, whatever their weights: raising a weight must
    /// never fail for want of slots.
    pub fn capacity(&self) -> u32 {
        let fit = match self.placement {
            Placement::Ring => self.slots / self.virtual_nodes,
            Placement::Rendezvous | Placement::Balanced => self.slots.min(MAX_COSTS / self.slots),
        };
        fit.min(MAX_NODES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(probing: Probing, slots: u32, virtual_nodes: u32) -> Result<Params, ParamsError> {
        Params::new(Family::Modified, probing, Placement::Ring, slots, virtual_nodes)
    }

    #[test]
    fn the_default_is_valid() {
        assert_eq!(ring(Probing::Quadratic, 65_539, 256), Ok(Params::default()));
        assert_eq!(Params::default().capacity(), 256);
    }

    #[test]
    fn bounds_of_slots_and_virtual_nodes() {
        for slots in [0, MAX_SLOTS + 1, u32::MAX] {
            assert_eq!(ring(Probing::Linear, slots, 1), Err(ParamsError::Slots { slots }));
        }
        assert!(ring(Probing::Quadratic, MAX_SLOTS, MAX_SLOTS).is_ok());
        assert!(ring(Probing::Quadratic, 1, 1).is_ok());
        for virtual_nodes in [0, 513] {
            let refused = ParamsError::VirtualNodes { virtual_nodes, slots: 512 };
            assert_eq!(ring(Probing::Quadratic, 512, virtual_nodes), Err(refused));
        }
    }

    #[test]
    fn a_size_that_quadratic_probing_cannot_fill_is_refused_with_its_neighbours() {
        let error = ring(Probing::Quadratic, 1_000, 9).unwrap_err();
        assert_eq!(error, ParamsError::Quadratic { slots: 1_000, below: Some(991), above: Some(1_019) });
        assert!(error.to_string().ends_with("use 991 or 1019, or linear probing"), "{error}");
        assert!(ring(Probing::Linear, 1_000, 9).is_ok());
    }

    #[test]
    fn placements_without_virtual_nodes_take_any_size() {
        for placement in [Placement::Rendezvous, Placement::Balanced] {
            let params = Params::new(Family::Modified, Probing::Quadratic, placement, 100, 256).unwrap();
            assert_eq!(params.capacity(), 100, "{placement}");
        }
    }

    #[test]
    fn owners_always_fit_their_table() {
        assert_eq!(ring(Probing::Linear, MAX_SLOTS, 1).unwrap().capacity(), MAX_NODES);
    }
}
