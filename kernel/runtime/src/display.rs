//! How values are shown: [`Rich`] first, else a registered renderer, else `Debug`, else nothing.
//!
//! The generated code calls `(&&&Show(&value)).bundle()` with [`AsRich`], [`AsDebug`] and [`AsNothing`] in scope:
//! method lookup tries the fewest references first and so takes the best trait that the type has.

use std::any::TypeId;
use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{PoisonError, RwLock};

use crate::output::{MimeBundle, Output, send};

/// A type that shows itself in several representations.
pub trait Rich {
    fn rich(&self) -> MimeBundle;
}

/// Values that most cells end with. As `Debug` the compiler would sort all implementations of all crates to find
/// theirs, which takes as long as the rest of a small cell; what stands here is compiled once, with this crate.
macro_rules! rich_as_debug {
    ($($type:ty)*) => {
        $(impl Rich for $type {
            fn rich(&self) -> MimeBundle {
                MimeBundle::plain(format!("{self:?}"))
            }
        })*
    };
}

rich_as_debug! {
    bool char str String f32 f64
    i8 i16 i32 i64 i128 isize
    u8 u16 u32 u64 u128 usize
}

impl<T: Rich + ?Sized> Rich for &T {
    fn rich(&self) -> MimeBundle {
        (**self).rich()
    }
}

/// Shows a value in the middle of a cell.
pub fn display<T: Debug + ?Sized>(value: &T) {
    send(Output::Display(render(value)));
}

/// Shows `data` as it is, such as `display_mime("text/html", "<b>bold</b>")`.
pub fn display_mime(mime: impl Into<String>, data: impl Into<String>) {
    send(Output::Display(MimeBundle::default().with(mime, data)));
}

/// Clears the cell's output; with `wait`, not before the next output comes.
pub fn clear_output(wait: bool) {
    send(Output::ClearOutput { wait });
}

/// A value about to be shown.
pub struct Show<'a, T: ?Sized>(pub &'a T);

pub trait AsRich {
    fn bundle(&self) -> Option<MimeBundle>;
}

impl<T: Rich + ?Sized> AsRich for &&Show<'_, T> {
    fn bundle(&self) -> Option<MimeBundle> {
        Some(self.0.rich())
    }
}

pub trait AsDebug {
    fn bundle(&self) -> Option<MimeBundle>;
}

impl<T: Debug + ?Sized> AsDebug for &Show<'_, T> {
    fn bundle(&self) -> Option<MimeBundle> {
        // A cell that ends with `()` has no value to show.
        (std::any::type_name::<T>() != "()").then(|| render(self.0))
    }
}

pub trait AsNothing {
    fn bundle(&self) -> Option<MimeBundle>;
}

impl<T: ?Sized> AsNothing for Show<'_, T> {
    fn bundle(&self) -> Option<MimeBundle> {
        None
    }
}

/// What [`Evcxr::evcxr_display`] gives, unlike the method of the same name that a type may have of its own.
pub struct NotShown;

/// evcxr's convention: a type with a method `evcxr_display(&self)` of its own shows itself by it. Such a method comes
/// before this one in method lookup, so the generated code calls it if there is one.
pub trait Evcxr {
    fn evcxr_display(&self) -> NotShown {
        NotShown
    }
}

impl<T: ?Sized> Evcxr for T {}

/// Whether a value was not shown by `evcxr_display`, told by what that gave.
pub fn is_not_shown<R>(_: &R) -> bool {
    typeid::of::<R>() == TypeId::of::<NotShown>()
}

type Renderer = Box<dyn Fn(*const ()) -> MimeBundle + Send + Sync>;

static RENDERERS: RwLock<Option<HashMap<TypeId, Renderer>>> = RwLock::new(None);

/// Lets a type of another crate, for which [`Rich`] cannot be implemented, be shown by `renderer`.
pub fn register<T: 'static>(renderer: impl Fn(&T) -> MimeBundle + Send + Sync + 'static) {
    #[allow(unsafe_code)]
    // SAFETY: `render` looks renderers up by the type of the value that `value` points to, which lives until then.
    let renderer: Renderer = Box::new(move |value| renderer(unsafe { &*value.cast::<T>() }));
    RENDERERS
        .write()
        .unwrap_or_else(PoisonError::into_inner)
        .get_or_insert_default()
        .insert(TypeId::of::<T>(), renderer);
}

fn render<T: Debug + ?Sized>(value: &T) -> MimeBundle {
    // A type that borrows has no `TypeId` of its own; `typeid` erases its lifetimes. A registered type has none.
    render_as(typeid::of::<T>(), std::ptr::from_ref(value).cast(), &value)
}

/// Apart from `render`, which is compiled again in each cell. `value` points to a value of type `id`.
fn render_as(id: TypeId, value: *const (), debug: &dyn Debug) -> MimeBundle {
    let renderers = RENDERERS.read().unwrap_or_else(PoisonError::into_inner);
    match renderers.as_ref().and_then(|all| all.get(&id)) {
        Some(renderer) => renderer(value),
        None => MimeBundle::plain(format!("{debug:?}")),
    }
}
