//! Messages of gRPC, which are weighed before they are read.

use prost::Message;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder};
use tonic_prost::ProstCodec;

use super::bodies::take;
use super::weight::{fields, weight};

pub struct Weighed<T, U>(ProstCodec<T, U>);

impl<T, U> Default for Weighed<T, U> {
    fn default() -> Self {
        Self(ProstCodec::default())
    }
}

impl<T, U> Codec for Weighed<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = <ProstCodec<T, U> as Codec>::Encoder;
    type Decoder = WeighedDecoder<<ProstCodec<T, U> as Codec>::Decoder>;

    fn encoder(&mut self) -> Self::Encoder {
        self.0.encoder()
    }

    fn decoder(&mut self) -> Self::Decoder {
        WeighedDecoder(self.0.decoder())
    }
}

pub struct WeighedDecoder<D>(D);

impl<D: Decoder<Error = Status>> Decoder for WeighedDecoder<D>
where
    D::Item: 'static,
{
    type Item = D::Item;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<D::Item>, Status> {
        use bytes::Buf as _;
        let more = fields::<D::Item>().map(|fields| weight(bytes.chunk(), fields));
        take(bytes.remaining(), more)?;
        self.0.decode(bytes)
    }

    fn buffer_settings(&self) -> BufferSettings {
        self.0.buffer_settings()
    }
}
