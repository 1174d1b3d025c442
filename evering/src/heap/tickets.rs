//! What has been given to the peer, and under which number it comes back.
//!
//! The one idea: the peer gives back a number and not an address, and the number has a generation. So what comes back
//! is looked up in a table that the peer cannot write, a number that comes twice finds nothing, and at the
//! connection's end the table says what the peer still had.

use alloc::vec::Vec;

use super::token::Token;

/// A piece of the arena: where it is, in granules, and of which class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) granule: u32,
    pub(crate) class: u8,
}

#[derive(Debug, Default)]
struct Ticket {
    generation: u32,
    /// What is away under it.
    block: Option<Block>,
}

/// The table.
#[derive(Debug)]
pub(crate) struct Tickets {
    tickets: Vec<Ticket>,
    /// Those that are not in use; the last was used last.
    free: Vec<u32>,
    limit: u32,
}

impl Tickets {
    /// A table of up to `limit`.
    pub(crate) fn new(limit: u32) -> Self {
        Tickets { tickets: Vec::new(), free: Vec::new(), limit }
    }

    /// Writes down that the block is away; `None` if too many are.
    pub(crate) fn give(&mut self, block: Block, len: u32) -> Option<Token> {
        let index = match self.free.pop() {
            Some(index) => index,
            None if (self.tickets.len() as u64) < u64::from(self.limit) => {
                self.tickets.push(Ticket::default());
                self.tickets.len() as u32 - 1
            }
            None => return None,
        };
        let ticket = self.tickets.get_mut(index as usize)?;
        ticket.generation = ticket.generation.wrapping_add(1);
        ticket.block = Some(block);
        let generation = ticket.generation;
        Some(Token { granule: block.granule, len, ticket: index + 1, generation })
    }

    /// The block that comes back with the token, if it is away under that number.
    pub(crate) fn take(&mut self, token: Token) -> Option<Block> {
        let index = token.ticket.checked_sub(1)?;
        let ticket = self.tickets.get_mut(index as usize)?;
        if ticket.generation != token.generation {
            return None;
        }
        let block = ticket.block.take()?;
        self.free.push(index);
        Some(block)
    }

    /// All that is away. It is not any more.
    pub(crate) fn take_all(&mut self) -> impl Iterator<Item = Block> {
        let free = &mut self.free;
        self.tickets.iter_mut().enumerate().filter_map(|(index, ticket)| {
            let block = ticket.block.take()?;
            free.push(index as u32);
            Some(block)
        })
    }

    /// How many blocks are away.
    pub(crate) fn len(&self) -> usize {
        self.tickets.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: Block = Block { granule: 7, class: 3 };

    #[test]
    fn what_was_given_comes_back_once() {
        let mut tickets = Tickets::new(2);
        let token = tickets.give(BLOCK, 100).expect("none is away");
        assert_eq!((token.granule, token.len(), token.is_given()), (7, 100, true));
        assert_eq!((tickets.take(token), tickets.take(token)), (Some(BLOCK), None));
        let again = tickets.give(BLOCK, 100).expect("none is away");
        assert_eq!(again.ticket, token.ticket);
        assert_eq!(tickets.take(token), None, "that was the one before");
        assert_eq!(tickets.take(again), Some(BLOCK));
    }

    #[test]
    fn nonsense_finds_nothing() {
        let mut tickets = Tickets::new(2);
        let token = tickets.give(BLOCK, 1).expect("none is away");
        for bad in [0, 2, 3, u32::MAX] {
            assert_eq!(tickets.take(Token { ticket: bad, ..token }), None);
        }
        assert_eq!(tickets.take(Token { generation: 0, ..token }), None);
        assert_eq!(tickets.len(), 1);
    }

    #[test]
    fn there_are_so_many_and_all_can_be_taken_back() {
        let mut tickets = Tickets::new(3);
        let given: [_; 4] = core::array::from_fn(|_| tickets.give(BLOCK, 1));
        assert!(given[2].is_some() && given[3].is_none());
        assert_eq!((tickets.take_all().count(), tickets.len()), (3, 0));
        assert_eq!(given[0].and_then(|token| tickets.take(token)), None);
        assert!(tickets.give(BLOCK, 1).is_some());
    }
}
