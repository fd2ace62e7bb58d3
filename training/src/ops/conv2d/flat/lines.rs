//! How pictures are laid flat, line by line, and taken from there.

use super::{Buffers, Flat};
use crate::cpu::{Real, sums};
use crate::ops::window::Windows;

impl Flat<'_> {
    /// Calls `f` with each line of a plane's phase: its number among the lines, where it begins in that, where in the
    /// plane, and how many elements it has, each `stride` behind the one before in the plane.
    #[inline(always)]
    fn each_line(&self, phase: [usize; 2], mut f: impl FnMut(usize, usize, usize, usize)) {
        let Windows {
            size,
            stride,
            padding,
            ..
        } = self.geometry.windows;
        // The first place of the plane that is in the phase.
        let first = [0, 1].map(|axis| (phase[axis] + stride - padding[axis] % stride) % stride);
        let count = size[1].saturating_sub(first[1]).div_ceil(stride);
        if count == 0 {
            return;
        }
        let left = (first[1] + padding[1]) / stride;
        for y in (first[0]..size[0]).step_by(stride) {
            f(
                (y + padding[0]) / stride,
                left,
                y * size[1] + first[1],
                count,
            );
        }
    }

    /// Lays out the channels of a group of some pictures.
    pub(super) fn lay_x<T: Real>(&self, x: &[T], group: usize, buffers: &mut Buffers<T>) {
        let windows = &self.geometry.windows;
        let area = windows.size[0] * windows.size[1];
        for (picture, x) in x.chunks(self.geometry.input_len()).enumerate() {
            let x = &x[group * windows.len()..][..windows.len()];
            for (channel, x) in x.chunks(area).enumerate() {
                for (number, phase) in self.phases.iter().enumerate() {
                    let plane = (channel * self.phases.len() + number) * buffers.x_plane;
                    let plane = &mut buffers.x[plane + picture * self.width..];
                    self.each_line(*phase, |line, left, from, count| {
                        let to = &mut plane[line * buffers.pitch + left..][..count];
                        let from = &x[from..];
                        if windows.stride == 1 {
                            to.copy_from_slice(&from[..count]);
                        } else {
                            let from = from.iter().step_by(windows.stride);
                            to.iter_mut().zip(from).for_each(|(to, x)| *to = *x);
                        }
                    });
                }
            }
        }
    }

    /// The reverse: copies a phase of the planes to where it lies in the channels of a group.
    pub(super) fn take_dx<T: Real>(
        &self,
        buffers: &Buffers<T>,
        (group, phase): (usize, [usize; 2]),
        dx: &mut [T],
    ) {
        let windows = &self.geometry.windows;
        let area = windows.size[0] * windows.size[1];
        for (picture, dx) in dx.chunks_mut(self.geometry.input_len()).enumerate() {
            let dx = &mut dx[group * windows.len()..][..windows.len()];
            let planes = buffers.planes.chunks(buffers.plane);
            for (dx, plane) in dx.chunks_mut(area).zip(planes) {
                let plane = &plane[picture * self.width..];
                self.each_line(phase, |line, left, to, count| {
                    let from = (line - self.filled[0]) * buffers.pitch + left;
                    let (from, to) = (&plane[from..from + count], &mut dx[to..]);
                    if windows.stride == 1 {
                        to[..count].copy_from_slice(from);
                    } else {
                        let to = to.iter_mut().step_by(windows.stride);
                        to.zip(from).for_each(|(to, dx)| *to = *dx);
                    }
                });
            }
        }
    }

    /// Copies the planes of a group to their places in the result, and adds the bias.
    pub(super) fn take_y<T: Real>(
        &self,
        buffers: &Buffers<T>,
        group: usize,
        bias: &[T],
        y: &mut [T],
    ) {
        let (out, places) = (self.out(), self.geometry.windows.places());
        let [_, width] = self.geometry.windows.output();
        for (picture, y) in y.chunks_mut(self.geometry.output_len()).enumerate() {
            let y = &mut y[group * out * places..][..out * places];
            for (channel, y) in y.chunks_mut(places).enumerate() {
                let plane = &buffers.planes[channel * buffers.plane + picture * self.width..];
                let bias = bias[group * out + channel];
                for (y, plane) in y.chunks_mut(width).zip(plane.chunks(buffers.pitch)) {
                    y.iter_mut()
                        .zip(plane)
                        .for_each(|(y, plane)| *y = *plane + bias);
                }
            }
        }
    }

    /// Lays out the gradients of a group's results, and adds their sums to `dbias`.
    pub(super) fn lay_dy<T: Real>(
        &self,
        dy: &[T],
        group: usize,
        buffers: &mut Buffers<T>,
        dbias: &mut [T],
    ) {
        let (out, places) = (self.out(), self.geometry.windows.places());
        let [_, width] = self.geometry.windows.output();
        for (picture, dy) in dy.chunks(self.geometry.output_len()).enumerate() {
            let dy = &dy[group * out * places..][..out * places];
            for (channel, dy) in dy.chunks(places).enumerate() {
                let at = channel * buffers.dy_plane + buffers.front + picture * self.width;
                let plane = buffers.dy[at..].chunks_mut(buffers.pitch);
                for (dy, plane) in dy.chunks(width).zip(plane) {
                    plane[..width].copy_from_slice(dy);
                }
                dbias[group * out + channel] += T::real(sums([dy], |[dy]| [dy.wide()])[0]);
            }
        }
    }
}
