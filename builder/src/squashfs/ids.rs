//! The table of owners: inodes name users and groups by their place in it.

use std::collections::HashMap;

use super::SquashfsError;
use super::format::MAX_IDS;

#[derive(Debug, Default)]
pub(super) struct Ids {
    list: Vec<u32>,
    places: HashMap<u32, u16>,
}

impl Ids {
    pub(super) fn place(&mut self, id: u32) -> Result<u16, SquashfsError> {
        if let Some(place) = self.places.get(&id) {
            return Ok(*place);
        }
        if self.list.len() == MAX_IDS {
            return Err(SquashfsError::TooMany { what: "different users and groups", limit: MAX_IDS as u64 });
        }
        let place = self.list.len() as u16;
        self.list.push(id);
        self.places.insert(id, place);
        Ok(place)
    }

    pub(super) fn list(&self) -> &[u32] {
        &self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_groups_share_one_table_that_can_be_full() {
        let mut ids = Ids::default();
        assert_eq!((ids.place(0).unwrap(), ids.place(42).unwrap(), ids.place(0).unwrap()), (0, 1, 0));
        for id in 100..100 + MAX_IDS as u32 - 2 {
            ids.place(id).unwrap();
        }
        assert!(matches!(ids.place(7), Err(SquashfsError::TooMany { .. })));
        assert_eq!(ids.place(42).unwrap(), 1, "what is there already still is");
    }
}
