//! Convolution over flat pictures. The lines of several pictures lie side by side with zeros between, one line of all
//! after the other: element (channel, ky, kx) of every window is then the same plane, shifted by a constant, and no
//! window has to be unrolled. What is computed at the places between the pictures is left out.

mod lines;

use super::Geometry;
use crate::cpu::{Correlation, LANES, Product, Real, each, pack, shares, split, sum};
use crate::ops::window::Windows;

/// How the planes of one convolution lie flat.
pub(in crate::ops) struct Flat<'a> {
    geometry: &'a Geometry,
    /// From one picture to the next in a line. The zeros on the left of a picture are also those on the right of the one
    /// before.
    width: usize,
    /// Of a plane of x, zeros above and below included.
    lines: usize,
    /// Those of them with elements of the plane, for the way back: the first, and the one after the last.
    filled: [usize; 2],
    /// A stride cuts each plane into one for each remainder of the place by the stride, along both axes: these, where
    /// an element of the kernel meets them.
    phases: Vec<[usize; 2]>,
    taps: Vec<Tap>,
}

/// An element of the kernel: its phase, and by how many lines and columns it shifts that.
struct Tap {
    phase: usize,
    lines: usize,
    columns: usize,
}

/// What some pictures take.
struct Buffers<T> {
    pictures: usize,
    /// From one line to the next.
    pitch: usize,
    x: Vec<T>,
    x_plane: usize,
    /// With `front` zeros before each plane.
    dy: Vec<T>,
    dy_plane: usize,
    front: usize,
    /// What is computed.
    planes: Vec<T>,
    plane: usize,
    offsets: Vec<usize>,
}

impl<'a> Flat<'a> {
    pub fn new(geometry: &'a Geometry) -> Self {
        let windows = &geometry.windows;
        let Windows {
            stride,
            dilation,
            padding,
            size,
            kernel,
            ..
        } = *windows;
        let (mut phases, mut taps) = (Vec::new(), Vec::new());
        for ky in 0..kernel[0] {
            for kx in 0..kernel[1] {
                let [y, x] = [ky * dilation, kx * dilation];
                let phase = [y % stride, x % stride];
                let known = phases.iter().position(|known| *known == phase);
                let phase = known.unwrap_or_else(|| {
                    phases.push(phase);
                    phases.len() - 1
                });
                taps.push(Tap {
                    phase,
                    lines: y / stride,
                    columns: x / stride,
                });
            }
        }
        let filled = [0, 1].map(|axis| (size[axis] + padding[axis]).div_ceil(stride));
        let [height, width] = windows.output();
        let reach = (kernel[0] - 1) * dilation / stride;
        Self {
            geometry,
            width: filled[1].max(width),
            lines: filled[0].max(height + reach),
            filled: [padding[0] / stride, filled[0]],
            phases,
            taps,
        }
    }

    /// How many pictures of `count` one product takes: so many that their planes are long, and yet stay in the cache.
    fn at_once(&self, count: usize) -> usize {
        const CACHED: usize = 1 << 18;
        const LONG: usize = 1 << 12;
        let planes = (self.geometry.windows.channels * self.phases.len()).max(self.out());
        let picture = self.width * self.lines;
        let most = (CACHED / (planes * picture)).min(LONG / picture).max(1);
        count.div_ceil(count.div_ceil(most).max(1)).max(1)
    }

    /// Output channels of a group.
    fn out(&self) -> usize {
        self.geometry.out / self.geometry.groups
    }

    fn buffers<T: Real>(&self, pictures: usize, backward: bool) -> Buffers<T> {
        let inner = self.geometry.windows.channels;
        let [height, _] = self.geometry.windows.output();
        let pitch = pictures * self.width;
        let most = |shift: fn(&Tap) -> usize| self.taps.iter().map(shift).max().unwrap_or_default();
        let [lines, columns] = [most(|tap| tap.lines), most(|tap| tap.columns)];
        // With room for the longest shift and a vector behind the lines.
        let room = |lines: usize| (lines * pitch + columns).next_multiple_of(LANES) + LANES;
        let x_plane = room(self.lines);
        let front = room(lines);
        let dy_plane = front + room(self.filled[1].max(height));
        let computed = if backward {
            self.filled[1] - self.filled[0]
        } else {
            height
        };
        let plane = (computed * pitch).next_multiple_of(LANES);
        let offsets = (0..inner).flat_map(|channel| {
            self.taps.iter().map(move |tap| {
                (channel * self.phases.len() + tap.phase) * x_plane
                    + tap.lines * pitch
                    + tap.columns
            })
        });
        Buffers {
            pictures,
            pitch,
            x: vec![T::zero(); inner * self.phases.len() * x_plane],
            x_plane,
            dy: vec![T::zero(); if backward { self.out() * dy_plane } else { 0 }],
            dy_plane,
            front,
            planes: vec![T::zero(); plane * if backward { inner } else { self.out() }],
            plane,
            offsets: offsets.collect(),
        }
    }

    pub fn forward<T: Real>(&self, x: &[T], weight: &[T], bias: &[T]) -> Vec<T> {
        let geometry = self.geometry;
        let (input, output) = (geometry.input_len(), geometry.output_len());
        let (out, rows) = (self.out(), geometry.windows.rows());
        let weights: Vec<Vec<T>> = weight
            .chunks(out * rows)
            .map(|weight| pack(out, rows, |channel, k| weight[channel * rows + k]))
            .collect();
        let shares = shares(geometry.n, geometry.work());
        let mut y = vec![T::zero(); geometry.n * output];
        let parts = split(&mut y, output, &shares);
        each(shares.iter().cloned().zip(parts).collect(), |(share, y)| {
            let at_once = self.at_once(share.len());
            let mut buffers = self.buffers(at_once, false);
            let [height, _] = geometry.windows.output();
            let x = x[share.start * input..share.end * input].chunks(at_once * input);
            for (x, y) in x.zip(y.chunks_mut(at_once * output)) {
                if x.len() != buffers.pictures * input {
                    buffers = self.buffers(x.len() / input, false);
                }
                for (group, weights) in weights.iter().enumerate() {
                    self.lay_x(x, group, &mut buffers);
                    Product {
                        weights,
                        rows: out,
                        offsets: &buffers.offsets,
                        from: &buffers.x,
                        to: &mut buffers.planes,
                        pitch: buffers.plane,
                        len: height * buffers.pitch,
                    }
                    .run();
                    self.take_y(&buffers, group, bias, y);
                }
            }
        });
        y
    }

    /// The gradients of x (empty where not wanted), weight and bias.
    pub fn backward<T: Real>(
        &self,
        (x, weight, dy): (&[T], &[T], &[T]),
        want_dx: bool,
    ) -> [Vec<T>; 3] {
        let geometry = self.geometry;
        let (input, output) = (geometry.input_len(), geometry.output_len());
        let weights = if want_dx {
            self.turned(weight)
        } else {
            Vec::new()
        };
        let shares = shares(geometry.n, geometry.work());
        let mut dx = vec![T::zero(); if want_dx { x.len() } else { 0 }];
        let parts = split(&mut dx, if want_dx { input } else { 0 }, &shares);
        let sums = each(
            shares.iter().cloned().zip(parts).collect(),
            |(share, dx)| {
                let mut sums = vec![T::zero(); geometry.weight_len() + geometry.out];
                let at_once = self.at_once(share.len());
                let mut buffers = self.buffers(at_once, true);
                for picture in share.clone().step_by(at_once) {
                    let count = at_once.min(share.end - picture);
                    if count != buffers.pictures {
                        buffers = self.buffers(count, true);
                    }
                    let from = (picture - share.start) * input;
                    let dx = want_dx.then(|| &mut dx[from..from + count * input]);
                    let x = &x[picture * input..][..count * input];
                    let dy = &dy[picture * output..][..count * output];
                    self.backward_some((x, dy), &weights, &mut buffers, &mut sums, dx);
                }
                sums
            },
        );
        let mut dweight = sum(sums, geometry.weight_len() + geometry.out);
        let dbias = dweight.split_off(geometry.weight_len());
        let rows = geometry.windows.rows();
        let broken = dweight
            .iter_mut()
            .enumerate()
            .filter(|(_, step)| step.is_nan());
        for (at, step) in broken {
            *step = self.of_weight((x, dy), at / rows, at % rows);
        }
        [dx, dweight, dbias]
    }

    /// The gradient of one weight by the definition. Where an element of x is infinite or no number, its product with
    /// the zeros between the pictures is no number either: such sums are made anew.
    fn of_weight<T: Real>(&self, (x, dy): (&[T], &[T]), out: usize, row: usize) -> T {
        let windows = &self.geometry.windows;
        let ([_, kernel_width], kernel) = (windows.kernel, self.taps.len());
        let [height, width] = windows.size;
        let [_, out_width] = windows.output();
        let channel = out / self.out() * windows.channels + row / kernel;
        let shift = [row % kernel / kernel_width, row % kernel % kernel_width];
        // The place in x, of which the padding is none.
        let place = |axis: usize, at: usize| {
            let at = at * windows.stride + shift[axis] * windows.dilation;
            at.checked_sub(windows.padding[axis])
                .filter(|at| *at < windows.size[axis])
        };
        let mut sum = T::zero();
        for picture in 0..self.geometry.n {
            let x = &x[picture * self.geometry.input_len() + channel * height * width..];
            let dy = &dy[picture * self.geometry.output_len()..];
            let dy = dy.chunks(windows.places()).nth(out).unwrap_or_default();
            for (at, dy) in dy.iter().enumerate() {
                if let (Some(y), Some(column)) =
                    (place(0, at / out_width), place(1, at % out_width))
                {
                    sum += *dy * x[y * width + column];
                }
            }
            if sum.is_nan() {
                break;
            }
        }
        sum
    }

    /// The gradients of some pictures, of which those of weight and bias are added to `sums`.
    fn backward_some<T: Real>(
        &self,
        (x, dy): (&[T], &[T]),
        weights: &[Vec<T>],
        buffers: &mut Buffers<T>,
        sums: &mut [T],
        mut dx: Option<&mut [T]>,
    ) {
        let geometry = self.geometry;
        let (out, rows) = (self.out(), geometry.windows.rows());
        let [height, _] = geometry.windows.output();
        let (dweight, dbias) = sums.split_at_mut(geometry.weight_len());
        for (group, dweight) in dweight.chunks_mut(out * rows).enumerate() {
            self.lay_x(x, group, buffers);
            self.lay_dy(dy, group, buffers, dbias);
            Correlation {
                by: &buffers.dy[buffers.front..],
                rows: out,
                pitch: buffers.dy_plane,
                offsets: &buffers.offsets,
                from: &buffers.x,
                to: dweight,
                len: height * buffers.pitch,
            }
            .run();
            if let Some(dx) = dx.as_deref_mut() {
                self.back_to_x(weights, group, buffers, dx);
            }
        }
    }

    /// The gradient of a group of x, from that of its results in `buffers`.
    fn back_to_x<T: Real>(
        &self,
        weights: &[Vec<T>],
        group: usize,
        buffers: &mut Buffers<T>,
        dx: &mut [T],
    ) {
        for (number, phase) in self.phases.iter().enumerate() {
            let from = buffers.front + self.filled[0] * buffers.pitch;
            let taps = self.taps.iter().filter(|tap| tap.phase == number);
            let shifts = taps.map(|tap| from - tap.lines * buffers.pitch - tap.columns);
            let offsets: Vec<usize> = (0..self.out())
                .flat_map(|out| shifts.clone().map(move |shift| (out, shift)))
                .map(|(out, shift)| out * buffers.dy_plane + shift)
                .collect();
            Product {
                weights: &weights[group * self.phases.len() + number],
                rows: self.geometry.windows.channels,
                offsets: &offsets,
                from: &buffers.dy,
                to: &mut buffers.planes,
                pitch: buffers.plane,
                len: (self.filled[1] - self.filled[0]) * buffers.pitch,
            }
            .run();
            self.take_dx(buffers, (group, *phase), dx);
        }
    }

    /// The gradient of x alone, which is what a transposed convolution gives.
    pub fn to_x<T: Real>(&self, weight: &[T], dy: &[T]) -> Vec<T> {
        let geometry = self.geometry;
        let (input, output) = (geometry.input_len(), geometry.output_len());
        let weights = self.turned(weight);
        let shares = shares(geometry.n, geometry.work());
        let mut dx = vec![T::zero(); geometry.n * input];
        let parts = split(&mut dx, input, &shares);
        each(shares.into_iter().zip(parts).collect(), |(share, dx)| {
            let at_once = self.at_once(share.len());
            let mut buffers = self.buffers(at_once, true);
            let mut dbias = vec![T::zero(); geometry.out];
            let dy = dy[share.start * output..share.end * output].chunks(at_once * output);
            for (dx, dy) in dx.chunks_mut(at_once * input).zip(dy) {
                if dy.len() != buffers.pictures * output {
                    buffers = self.buffers(dy.len() / output, true);
                }
                for group in 0..geometry.groups {
                    self.lay_dy(dy, group, &mut buffers, &mut dbias);
                    self.back_to_x(&weights, group, &mut buffers, dx);
                }
            }
        });
        dx
    }

    /// The weights of each group and phase, packed for the way back: a row for each channel of x.
    fn turned<T: Real>(&self, weight: &[T]) -> Vec<Vec<T>> {
        let (out, rows) = (self.out(), self.geometry.windows.rows());
        let (inner, kernel) = (self.geometry.windows.channels, self.taps.len());
        let groups = weight.chunks(out * rows);
        let of_phase = |weight: &[T], number| {
            let taps = (0..kernel).filter(|tap| self.taps[*tap].phase == number);
            let taps: Vec<usize> = taps.collect();
            pack(inner, out * taps.len(), |channel, k| {
                let (out, tap) = (k / taps.len(), taps[k % taps.len()]);
                weight[out * rows + channel * kernel + tap]
            })
        };
        groups
            .flat_map(|weight| (0..self.phases.len()).map(move |number| of_phase(weight, number)))
            .collect()
    }
}
