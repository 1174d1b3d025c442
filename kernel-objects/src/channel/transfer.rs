//! Channels as a process uses them: by handle values, which leave its table when they are written and enter it when read.

use futures::{FutureExt, select_biased};

use super::{Channel, Message, ReadError, ReadOptions, Room};
use crate::{
    deadline::Deadline,
    error::{Error, Result},
    handle::{Handle, HandleInfo, HandleTable, HandleValue},
    object::{KernelObject, ObjectType},
    rights::Rights,
};

/// What becomes of a handle that is written with a disposition: `zx_handle_op_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum HandleOp {
    /// It leaves the table, whatever the result: `ZX_HANDLE_OP_MOVE`.
    Move = 0,
    /// It stays, and a duplicate is sent: `ZX_HANDLE_OP_DUPLICATE`.
    Duplicate = 1,
}

impl HandleOp {
    /// The operation with this number.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`].
    pub fn from_raw(raw: u32) -> Result<Self> {
        match raw {
            0 => Ok(Self::Move),
            1 => Ok(Self::Duplicate),
            _ => Err(Error::InvalidArgs),
        }
    }
}

/// A handle to be written, and how: `zx_handle_disposition_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandleDisposition {
    /// Whether it is moved or duplicated.
    pub operation: HandleOp,
    /// The handle.
    pub handle: HandleValue,
    /// The type of object that it is expected to be of; `None` if that does not matter.
    pub object_type: Option<ObjectType>,
    /// The rights that it shall have for the receiver.
    pub rights: Rights,
    /// What came of it; must be `Ok` before.
    pub result: Result,
}

impl HandleDisposition {
    /// A handle to be moved as it is.
    pub fn moved(handle: HandleValue) -> Self {
        let (operation, rights) = (HandleOp::Move, Rights::SAME_RIGHTS);
        HandleDisposition { operation, handle, object_type: None, rights, result: Ok(()) }
    }
}

/// A message as it arrives in a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The new values of its handles, and what they are: `zx_handle_info_t`.
    pub handles: Vec<(HandleValue, HandleInfo)>,
}

impl HandleTable {
    /// As [`Channel::write`], through a handle. The handles in `handles` are gone whatever the result.
    ///
    /// # Errors
    ///
    /// [`Error::BadHandle`], also if a value comes twice; [`Error::WrongType`]; [`Error::AccessDenied`] if the channel's handle lacks
    /// [`Rights::WRITE`] or one to be sent [`Rights::TRANSFER`]; those of [`Channel::write`].
    pub fn channel_write(
        &self,
        channel: HandleValue,
        bytes: Vec<u8>,
        handles: &[HandleValue],
    ) -> Result {
        let channel = self.get::<Channel>(channel, Rights::WRITE);
        let handles = self.take_to_transfer(handles);
        channel?.write(Message { bytes, handles: handles? })
    }

    /// As [`channel_write`](Self::channel_write), with a disposition for each handle (`zx_channel_write_etc`). All of them are
    /// tried, the result of each is stored in it, and the message is written if none failed.
    ///
    /// # Errors
    ///
    /// The first one that failed: [`Error::BadHandle`]; [`Error::WrongType`] if an object is not of the expected type;
    /// [`Error::NotSupported`] if it is the channel written to; [`Error::AccessDenied`] without [`Rights::TRANSFER`], or without
    /// [`Rights::DUPLICATE`] where that is to be done; [`Error::InvalidArgs`] if the handle has not the rights asked for, or if a
    /// result was not `Ok` before. Or those of [`Channel::write`].
    pub fn channel_write_etc(
        &self,
        channel: HandleValue,
        bytes: Vec<u8>,
        handles: &mut [HandleDisposition],
    ) -> Result {
        let channel = self.get::<Channel>(channel, Rights::WRITE);
        let handles = self.dispose(channel.as_deref().ok(), handles);
        channel?.write(Message { bytes, handles: handles? })
    }

    /// Takes or duplicates the handles to be written to `channel`.
    fn dispose(
        &self,
        channel: Option<&Channel>,
        handles: &mut [HandleDisposition],
    ) -> Result<Vec<Handle>> {
        let mut first = Ok(());
        let mut taken = Vec::with_capacity(handles.len().min(super::MAX_HANDLES));
        for disposition in handles {
            match self.dispose_one(channel, disposition) {
                Ok(handle) => taken.push(handle),
                Err(error) => {
                    disposition.result = Err(error);
                    first = first.and(Err(error));
                }
            }
        }
        first.map(|()| taken)
    }

    fn dispose_one(
        &self,
        channel: Option<&Channel>,
        disposition: &HandleDisposition,
    ) -> Result<Handle> {
        let HandleDisposition { operation, handle: value, object_type, rights, result } =
            *disposition;
        let check = |info: HandleInfo| {
            if channel.is_some_and(|channel| channel.koid() == info.koid) {
                return Err(Error::NotSupported);
            }
            if object_type.is_some_and(|expected| expected != info.object_type) {
                return Err(Error::WrongType);
            }
            info.rights.require(Rights::TRANSFER)?;
            result.map_err(|_| Error::InvalidArgs)
        };
        match operation {
            HandleOp::Move => {
                let handle = self.take(value)?;
                check(handle.info())?;
                handle.replace(rights)
            }
            HandleOp::Duplicate => {
                check(self.info(value)?)?;
                self.copy(value, rights)
            }
        }
    }

    /// As [`Channel::read`], through a handle (`zx_channel_read`, `zx_channel_read_etc`): the handles of the message get values here.
    ///
    /// # Errors
    ///
    /// [`Error::BadHandle`], [`Error::WrongType`]; [`Error::AccessDenied`] without [`Rights::READ`]; [`Error::NoMemory`] if the handles
    /// are too many for the table, which closes them; those of [`Channel::read`].
    pub fn channel_read(
        &self,
        channel: HandleValue,
        room: Room,
        options: ReadOptions,
    ) -> Result<Received, ReadError> {
        let channel = self.get::<Channel>(channel, Rights::READ)?;
        Ok(self.receive(channel.read(room, options)?)?)
    }

    fn receive(&self, message: Message) -> Result<Received> {
        let mut handles = Vec::with_capacity(message.handles.len());
        for handle in message.handles {
            let info = handle.info();
            match self.insert(handle) {
                Ok(value) => handles.push((value, info)),
                Err(error) => {
                    let values: Vec<_> = handles.iter().map(|&(value, _)| value).collect();
                    // They are valid: nobody has been told of them.
                    let _ = self.close_many(&values);
                    return Err(error);
                }
            }
        }
        Ok(Received { bytes: message.bytes, handles })
    }

    /// As [`Channel::call_until`], through a handle (`zx_channel_call`). The handles in `handles` are gone whatever the result.
    ///
    /// # Errors
    ///
    /// As [`channel_write`](Self::channel_write), and [`Error::AccessDenied`] without [`Rights::READ`]; [`Error::Canceled`] if the
    /// channel's handle is closed or leaves the table meanwhile; those of [`Channel::call_until`].
    pub async fn channel_call(
        &self,
        channel: HandleValue,
        bytes: Vec<u8>,
        handles: &[HandleValue],
        room: Room,
        deadline: Deadline,
    ) -> Result<Received, ReadError> {
        let object = self.get::<Channel>(channel, Rights::IO);
        let handles = self.take_to_transfer(handles);
        let object = object?;
        let message = Message { bytes, handles: handles? };
        self.call(channel, &object, message, room, deadline).await
    }

    /// As [`channel_call`](Self::channel_call), with a disposition for each handle (`zx_channel_call_etc`).
    ///
    /// # Errors
    ///
    /// As [`channel_call`](Self::channel_call) and [`channel_write_etc`](Self::channel_write_etc).
    pub async fn channel_call_etc(
        &self,
        channel: HandleValue,
        bytes: Vec<u8>,
        handles: &mut [HandleDisposition],
        room: Room,
        deadline: Deadline,
    ) -> Result<Received, ReadError> {
        let object = self.get::<Channel>(channel, Rights::IO);
        let handles = self.dispose(object.as_deref().ok(), handles);
        let object = object?;
        let message = Message { bytes, handles: handles? };
        self.call(channel, &object, message, room, deadline).await
    }

    async fn call(
        &self,
        value: HandleValue,
        channel: &Channel,
        message: Message,
        room: Room,
        deadline: Deadline,
    ) -> Result<Received, ReadError> {
        let mut call = std::pin::pin!(channel.call_until(message, room, deadline).fuse());
        let mut closed = std::pin::pin!(self.closed(value).fuse());
        select_biased! {
            answer = call => Ok(self.receive(answer?)?),
            error = closed => Err(error.into()),
        }
    }
}
