//! How a value looks: as its type's [`Rich`] says, else as a registered renderer says, else its `Debug`, else nothing.
//!
//! The generated code calls `(&&&&&Show(&value)).__carrel_show(scope)` with [`AsCommon`], [`AsRich`], [`AsList`], [`AsDebug`] and
//! [`AsNothing`] in scope: method lookup tries the fewest references first and so takes the best trait that the type has.
//! The names are such that no trait of the person's has a method of that name for all types.

use std::any::TypeId;
use std::collections::HashMap;
use std::fmt::{self, Debug, Write};
use std::marker::PhantomData;
use std::sync::{Arc, PoisonError, RwLock};

use crate::bundle::MimeBundle;
use crate::scope::Scope;

/// A longer `Debug` is cut, with a note; most people look at the first lines only, and a browser shows no megabytes.
const MOST_BYTES: usize = 4000;
/// A longer one-line `Debug` with fields is shown with a line for each of them, if there are not too many.
const LONG_LINE: usize = 100;
const MOST_LINES: usize = 60;

/// A type that shows itself in several representations.
pub trait Rich {
    fn rich(&self) -> MimeBundle;
}

impl Rich for MimeBundle {
    fn rich(&self) -> MimeBundle {
        self.clone()
    }
}

impl<T: Rich + ?Sized> Rich for &T {
    fn rich(&self) -> MimeBundle {
        (**self).rich()
    }
}

impl<T: Rich> Rich for Option<T> {
    fn rich(&self) -> MimeBundle {
        self.as_ref()
            .map_or_else(|| MimeBundle::plain("None"), Rich::rich)
    }
}

/// The value of `Ok`; an `Err` is shown as such.
impl<T: Rich, E: Debug> Rich for Result<T, E> {
    fn rich(&self) -> MimeBundle {
        match self {
            Ok(value) => value.rich(),
            Err(error) => MimeBundle::plain(format!("Err({error:?})")),
        }
    }
}

/// A value about to be shown.
pub struct Show<'a, T: ?Sized>(pub &'a T);

/// Values that most cells end with. As `Debug` the compiler would sort all implementations of all crates to find
/// theirs, which takes as long as the rest of a small cell; what stands here is compiled once, with this crate.
pub trait Common {
    fn text(&self) -> String;
}

macro_rules! common {
    ($($type:ty)*) => {
        $(impl Common for $type {
            fn text(&self) -> String {
                text(&self, None)
            }
        })*
    };
}

common! {
    bool char str String f32 f64
    i8 i16 i32 i64 i128 isize
    u8 u16 u32 u64 u128 usize
}

impl<T: Common + ?Sized> Common for &T {
    fn text(&self) -> String {
        (**self).text()
    }
}

pub trait AsCommon {
    #[track_caller]
    fn __carrel_show(&self, scope: &Scope);
}

impl<T: Common + ?Sized> AsCommon for &&&&Show<'_, T> {
    #[track_caller]
    fn __carrel_show(&self, scope: &Scope) {
        scope.text(self.0.text());
    }
}

pub trait AsRich {
    #[track_caller]
    fn __carrel_show(&self, scope: &Scope);
}

impl<T: Rich + ?Sized> AsRich for &&&Show<'_, T> {
    #[track_caller]
    fn __carrel_show(&self, scope: &Scope) {
        scope.rich(self.0.rich());
    }
}

/// What knows how many elements it has says so where it is cut.
pub trait AsList {
    #[track_caller]
    fn __carrel_show(&self, scope: &Scope);
}

impl<T: Debug> AsList for &&Show<'_, T>
where
    for<'a> &'a T: IntoIterator<IntoIter: ExactSizeIterator>,
{
    #[track_caller]
    fn __carrel_show(&self, scope: &Scope) {
        let count = self.0.into_iter().len();
        scope.rich(render(self.0, Some(count)));
    }
}

pub trait AsDebug {
    #[track_caller]
    fn __carrel_show(&self, scope: &Scope);
}

impl<T: Debug + ?Sized> AsDebug for &Show<'_, T> {
    #[track_caller]
    fn __carrel_show(&self, scope: &Scope) {
        // A cell that ends with `()` has no value to show.
        if std::any::type_name::<T>() != "()" {
            scope.rich(render(self.0, None));
        }
    }
}

pub trait AsNothing {
    #[track_caller]
    fn __carrel_show(&self, scope: &Scope);
}

impl<T: ?Sized> AsNothing for Show<'_, T> {
    fn __carrel_show(&self, _: &Scope) {}
}

/// Shows a value whose type is known only where the function ends, as of `Err(..)` beside an `Ok` that is never made:
/// method lookup would have to know it before.
#[track_caller]
pub fn show_debug<T: Debug>(value: &T, scope: &Scope) {
    AsDebug::__carrel_show(&&Show(value), scope);
}

/// `!`, which no cell can write beside other types.
pub type Never = <fn() -> ! as Returns>::Value;

pub trait Returns {
    type Value;
}

impl<T> Returns for fn() -> T {
    type Value = T;
}

/// What [`Evcxr::evcxr_display`] gives, unlike the method of the same name that a type may have of its own.
pub struct NotShown;

/// evcxr's convention: a type with a method `evcxr_display(&self)`, of its own or of a trait that the cell sees, shows
/// itself by it. Method lookup takes that one before this one, which needs one more reference.
pub trait Evcxr {
    fn evcxr_display(&self) -> NotShown {
        NotShown
    }
}

impl<T: ?Sized> Evcxr for &T {}

/// Whether a value was not shown by `evcxr_display`, told by what that gave.
pub fn is_not_shown<R>(_: &R) -> bool {
    typeid::of::<R>() == TypeId::of::<NotShown>()
}

type Renderer = Arc<dyn Fn(*const ()) -> MimeBundle + Send + Sync>;

static RENDERERS: RwLock<Option<HashMap<TypeId, Renderer>>> = RwLock::new(None);

/// Lets a type of another crate, for which [`Rich`] cannot be implemented, be shown by `renderer`.
pub fn register<T: 'static>(renderer: impl Fn(&T) -> MimeBundle + Send + Sync + 'static) {
    #[allow(unsafe_code)]
    // SAFETY: `render` looks renderers up by the type of the value that `value` points to, which lives until then.
    let renderer: Renderer = Arc::new(move |value| renderer(unsafe { &*value.cast::<T>() }));
    RENDERERS
        .write()
        .unwrap_or_else(PoisonError::into_inner)
        .get_or_insert_default()
        .insert(TypeId::of::<T>(), renderer);
}

/// Has [`display`](crate::display()), which only asks for `Debug`, show a type as its [`Rich`] says. The generated code
/// calls `(&Register::<T>(PhantomData)).__carrel_register()` as it is loaded.
pub struct Register<T>(pub PhantomData<T>);

pub trait RegisterRich {
    fn __carrel_register(&self);
}

impl<T: Rich + 'static> RegisterRich for Register<T> {
    fn __carrel_register(&self) {
        register(T::rich);
    }
}

pub trait RegisterNothing {
    fn __carrel_register(&self);
}

impl<T> RegisterNothing for &Register<T> {
    fn __carrel_register(&self) {}
}

/// `count` is the number of elements, if the value has elements.
pub(crate) fn render<T: Debug + ?Sized>(value: &T, count: Option<usize>) -> MimeBundle {
    // A type that borrows has no `TypeId` of its own; `typeid` erases its lifetimes. A registered type has none.
    let id = typeid::of::<T>();
    render_as(id, std::ptr::from_ref(value).cast(), &value, count)
}

/// Apart from `render`, which is compiled again in each cell. `value` points to a value of type `id`.
fn render_as(id: TypeId, value: *const (), debug: &dyn Debug, count: Option<usize>) -> MimeBundle {
    // Not locked while a renderer runs: that may show and register values itself, or take long, and a cell that is
    // loaded meanwhile registers its own.
    let renderer = {
        let renderers = RENDERERS.read().unwrap_or_else(PoisonError::into_inner);
        renderers.as_ref().and_then(|all| all.get(&id)).cloned()
    };
    match renderer {
        Some(renderer) => renderer(value),
        None => MimeBundle::plain(text(debug, count)),
    }
}

fn text(debug: &dyn Debug, count: Option<usize>) -> String {
    let (line, cut) = shortened(format_args!("{debug:?}"));
    if line.len() <= LONG_LINE {
        return line;
    }
    if line.contains(" { ") {
        let (lines, cut) = shortened(format_args!("{debug:#?}"));
        if !cut && lines.lines().count() <= MOST_LINES {
            return lines;
        }
    }
    match (cut, count) {
        (false, _) => line,
        (true, Some(count)) => format!("{line}… ({} elements in all)", thousands(count)),
        (true, None) => format!("{line}… (shortened)"),
    }
}

/// The text or its start, and whether it was cut. Formatting ends where the text is cut.
fn shortened(text: fmt::Arguments<'_>) -> (String, bool) {
    let mut start = Start(String::new());
    // A `Debug` that fails by itself is cut too.
    let cut = start.write_fmt(text).is_err();
    (start.0, cut)
}

struct Start(String);

impl Write for Start {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = MOST_BYTES - self.0.len();
        let fits = text.floor_char_boundary(room);
        self.0.push_str(&text[..fits]);
        match fits == text.len() {
            true => Ok(()),
            false => Err(fmt::Error),
        }
    }
}

/// A number with a comma between groups of three digits.
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
