//! The pass of our own through a model. Texts stand one behind the other without padding: what is computed for a token alone (all
//! the large products) runs over all of them at once, attention over each text for itself.

use super::config::Family;
use super::kernels::{self, Norm};
use super::matmul::{Matrix, multiply};
use super::model::{Layer, Linear, Model, NormWeights};

/// Tokens of several texts, one text behind the other.
pub(super) struct Pack<'a> {
    /// The tokens of each text, at least one, each within the vocabulary, at most as many as the model has places.
    pub(super) texts: &'a [&'a [u32]],
}

/// The vectors of all tokens of a pack, a row each.
pub(super) fn run(model: &Model, pack: &Pack<'_>) -> Vec<f32> {
    let mut rows = embed(model, pack);
    let count = rows.len() / model.config.width;
    let longest = pack.texts.iter().map(|text| text.len()).max().unwrap_or(0);
    let turns = turns(model, longest);
    let config = &model.config;
    let mut buffers = Buffers {
        qkv: vec![0.0; count * 3 * config.width],
        scores: vec![0.0; longest * longest],
        attended: vec![0.0; count * config.width],
        up: vec![0.0; count * config.middle * config.family.halves()],
        gated: vec![0.0; count * config.middle * (config.family.halves() - 1)],
        added: vec![0.0; count * config.width],
    };
    for layer in &model.layers {
        attend(model, layer, pack, &turns, &mut rows, &mut buffers);
        feed(model, layer, &mut rows, &mut buffers);
    }
    rows
}

/// What a layer leaves behind and the next one writes over.
struct Buffers {
    qkv: Vec<f32>,
    scores: Vec<f32>,
    attended: Vec<f32>,
    up: Vec<f32>,
    gated: Vec<f32>,
    added: Vec<f32>,
}

impl Family {
    /// Numbers in the middle of a layer that become one.
    fn halves(&self) -> usize {
        match self {
            Self::Bert { .. } => 1,
            Self::Nomic { .. } => 2,
        }
    }
}

/// The vectors that the first layer gets.
fn embed(model: &Model, pack: &Pack<'_>) -> Vec<f32> {
    let width = model.config.width;
    let row = |at: usize| at * width..(at + 1) * width;
    let count: usize = pack.texts.iter().map(|text| text.len()).sum();
    let mut rows = Vec::with_capacity(count * width);
    let mut places = Vec::with_capacity(count * width);
    for text in pack.texts {
        for (at, token) in text.iter().enumerate() {
            let place = match model.config.family {
                Family::Bert { first_place, .. } => first_place + at,
                Family::Nomic { .. } => 0,
            };
            rows.extend_from_slice(&model.words[row(*token as usize)]);
            places.extend_from_slice(&model.places[row(place)]);
        }
    }
    let none = vec![0.0; width];
    kernels::add_norm(&mut rows, &places, &none, norm(model, &model.norm));
    rows
}

/// The cosines and sines for each place, a row each; nothing where a model does not turn.
fn turns(model: &Model, length: usize) -> Vec<f32> {
    let Family::Nomic { theta } = model.config.family else {
        return Vec::new();
    };
    let width = model.config.head_width();
    let angle = |place: usize, pair: usize| {
        let slow = theta.powf((2 * pair) as f32 / width as f32);
        place as f32 * (1.0 / slow)
    };
    let mut turns = Vec::with_capacity(length * width);
    for place in 0..length {
        turns.extend((0..width / 2).map(|pair| angle(place, pair).cos()));
        turns.extend((0..width / 2).map(|pair| angle(place, pair).sin()));
    }
    turns
}

/// Each token looks at all of its text.
fn attend(
    model: &Model,
    layer: &Layer,
    pack: &Pack<'_>,
    turns: &[f32],
    rows: &mut [f32],
    buffers: &mut Buffers,
) {
    let config = &model.config;
    let (width, head_width) = (config.width, config.head_width());
    linear(&layer.qkv, rows, &mut buffers.qkv);
    kernels::add_bias(&mut buffers.qkv, &layer.qkv.bias);
    if !turns.is_empty() {
        turn(&mut buffers.qkv, pack, turns, width, head_width);
    }
    let scale = 1.0 / (head_width as f32).sqrt();
    let mut at = 0;
    for text in pack.texts {
        let length = text.len();
        let scores = &mut buffers.scores[..length * length];
        for head in 0..config.heads {
            let part = |which: usize| {
                let begin = at * 3 * width + which * width + head * head_width;
                Matrix::strided(&buffers.qkv[begin..], length, head_width, 3 * width)
            };
            multiply(part(0), part(1).transposed(), scores, length);
            kernels::softmax(scores, length, scale);
            let out = &mut buffers.attended[at * width + head * head_width..];
            multiply(Matrix::new(scores, length, length), part(2), out, width);
        }
        at += length;
    }
    linear(&layer.out, &buffers.attended, &mut buffers.added);
    let norm = norm(model, &layer.attention_norm);
    kernels::add_norm(rows, &buffers.added, &layer.out.bias, norm);
}

/// Turns the queries and keys of all heads.
fn turn(qkv: &mut [f32], pack: &Pack<'_>, turns: &[f32], width: usize, head_width: usize) {
    let mut rows = qkv.chunks_exact_mut(3 * width);
    for text in pack.texts {
        for (row, turns) in rows
            .by_ref()
            .take(text.len())
            .zip(turns.chunks_exact(head_width))
        {
            for head in row[..2 * width].chunks_exact_mut(head_width) {
                kernels::rotate(head, turns);
            }
        }
    }
}

/// The middle of a layer.
fn feed(model: &Model, layer: &Layer, rows: &mut [f32], buffers: &mut Buffers) {
    linear(&layer.up, rows, &mut buffers.up);
    let middle = match model.config.family {
        Family::Bert { activation, .. } => {
            kernels::activate(&mut buffers.up, &layer.up.bias, activation);
            &buffers.up
        }
        Family::Nomic { .. } => {
            kernels::gate(&buffers.up, &mut buffers.gated, model.config.middle);
            &buffers.gated
        }
    };
    linear(&layer.down, middle, &mut buffers.added);
    let norm = norm(model, &layer.norm);
    kernels::add_norm(rows, &buffers.added, &layer.down.bias, norm);
}

/// The product alone; the pass that follows adds the bias.
fn linear(map: &Linear, rows: &[f32], out: &mut [f32]) {
    let left = Matrix::new(rows, rows.len() / map.inputs, map.inputs);
    let right = Matrix::new(&map.weight, map.inputs, map.outputs());
    multiply(left, right, out, map.outputs());
}

fn norm<'a>(model: &Model, weights: &'a NormWeights) -> Norm<'a> {
    Norm {
        weight: &weights.weight,
        bias: &weights.bias,
        epsilon: model.config.epsilon,
    }
}
