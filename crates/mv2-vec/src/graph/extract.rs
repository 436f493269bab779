//! Takes the links out of a built graph: they are private, but the graph can be serialised.
//!
//! It serialises as a structure of numbers and sequences; this serialiser keeps the neighbour lists
//! in the order in which they come, and how many lists each layer has.

use std::fmt;

use serde::Serialize;
use serde::ser::{self, Impossible, SerializeSeq, SerializeStruct, SerializeTuple};

/// The layers of a graph, lowest first: neighbour lists one after the other.
#[derive(Debug, Default)]
pub(super) struct Links {
    /// Numbers of the layer, all lists in one.
    pub(super) layers: Vec<Vec<u32>>,
    /// The field that is read: only `zero` and `layers` hold links.
    field: Field,
    depth: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Field {
    #[default]
    Other,
    Zero,
    Layers,
}

/// The graph is none of the shape that the builder's version has.
#[derive(Debug)]
pub(super) struct Shape(String);

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Shape {}

impl ser::Error for Shape {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

/// Reads the links of a graph.
pub(super) fn links(graph: &impl Serialize) -> Result<Links, Shape> {
    let mut links = Links::default();
    graph.serialize(&mut links)?;
    Ok(links)
}

fn unexpected<T>(what: &str) -> Result<T, Shape> {
    Err(Shape(format!("unexpected {what} in a graph")))
}

macro_rules! refuse {
    ($($name:ident: $type:ty),*) => {
        $(fn $name(self, _: $type) -> Result<(), Shape> {
            unexpected(stringify!($type))
        })*
    };
}

impl ser::Serializer for &mut Links {
    type Ok = ();
    type Error = Shape;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Impossible<(), Shape>;
    type SerializeTupleVariant = Impossible<(), Shape>;
    type SerializeMap = Impossible<(), Shape>;
    type SerializeStruct = Self;
    type SerializeStructVariant = Impossible<(), Shape>;

    refuse!(serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32,
        serialize_i64: i64, serialize_u8: u8, serialize_u16: u16, serialize_f32: f32,
        serialize_f64: f64, serialize_char: char, serialize_str: &str, serialize_bytes: &[u8]);

    fn serialize_u32(self, link: u32) -> Result<(), Shape> {
        match (self.field, self.layers.last_mut()) {
            (Field::Zero | Field::Layers, Some(layer)) => layer.push(link),
            _ => return unexpected("number"),
        }
        Ok(())
    }

    /// The search parameter, which is not kept.
    fn serialize_u64(self, _: u64) -> Result<(), Shape> {
        match self.field {
            Field::Other => Ok(()),
            _ => unexpected("u64"),
        }
    }

    fn serialize_none(self) -> Result<(), Shape> {
        unexpected("option")
    }

    fn serialize_some<T: ?Sized + Serialize>(self, _: &T) -> Result<(), Shape> {
        unexpected("option")
    }

    /// A point.
    fn serialize_unit(self) -> Result<(), Shape> {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Shape> {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<(), Shape> {
        unexpected("variant")
    }

    fn serialize_newtype_struct<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Shape> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), Shape> {
        unexpected("variant")
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, Shape> {
        // `zero` is a sequence of lists, `layers` a sequence of such sequences.
        let lists = match self.field {
            Field::Zero => self.depth == 0,
            Field::Layers => self.depth == 1,
            Field::Other => false,
        };
        if lists {
            self.layers.push(Vec::new());
        }
        self.depth += 1;
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Shape> {
        self.depth += 1;
        Ok(self)
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Impossible<(), Shape>, Shape> {
        unexpected("tuple")
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Impossible<(), Shape>, Shape> {
        unexpected("variant")
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Impossible<(), Shape>, Shape> {
        unexpected("map")
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Shape> {
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Impossible<(), Shape>, Shape> {
        unexpected("variant")
    }
}

impl SerializeSeq for &mut Links {
    type Ok = ();
    type Error = Shape;

    fn serialize_element<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Shape> {
        value.serialize(&mut **self)
    }

    fn end(self) -> Result<(), Shape> {
        self.depth -= 1;
        Ok(())
    }
}

impl SerializeTuple for &mut Links {
    type Ok = ();
    type Error = Shape;

    fn serialize_element<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Shape> {
        value.serialize(&mut **self)
    }

    fn end(self) -> Result<(), Shape> {
        self.depth -= 1;
        Ok(())
    }
}

impl SerializeStruct for &mut Links {
    type Ok = ();
    type Error = Shape;

    fn serialize_field<T: ?Sized + Serialize>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Shape> {
        self.field = match name {
            "zero" => Field::Zero,
            "layers" => Field::Layers,
            _ => Field::Other,
        };
        value.serialize(&mut **self)
    }

    fn end(self) -> Result<(), Shape> {
        Ok(())
    }
}
