//! Linux-PAM, opened when the Hub starts: the one place that speaks to a C library by its symbols.
//!
//! Linked against, it would have to be on every machine that a Hub runs on. Structures and numbers are those of
//! `security/_pam_types.h`, the contract is that of pam(3), pam_conv(3) and pam_fail_delay(3).

#![allow(unsafe_code)]

use std::cell::Cell;
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::ptr;
use std::time::Duration;

use libloading::Library;

const NAME: &str = "libpam.so.0";

const SUCCESS: c_int = 0;
const BUF_ERR: c_int = 5;
const CONV_ERR: c_int = 19;

/// Codes that say that the question could not be answered: no module that opens, no symbol, errors of a service, of
/// memory; nobody to ask, an abort, an unknown module, an event to wait for. All others are refusals, an error of the
/// system too: that is what pam_exec(8) makes of a script that says no.
const NOT_ANSWERED: [c_int; 8] = [1, 2, 3, BUF_ERR, 9, 26, 28, 31];

/// Items of pam_set_item(3) and pam_get_item(3).
const USER: c_int = 2;
const FAIL_DELAY: c_int = 10;

/// Passwords that are empty are refused whatever the modules are told (`nullok`), and nothing is said to the user.
const FLAGS: c_int = 0x1 | 0x8000;

const PROMPT_ECHO_OFF: c_int = 1;
const ERROR_MSG: c_int = 3;
const TEXT_INFO: c_int = 4;
/// `PAM_MAX_NUM_MSG`
const MOST_MESSAGES: usize = 32;

/// `struct pam_message`
#[repr(C)]
struct Message {
    style: c_int,
    text: *const c_char,
}

/// `struct pam_response`
#[repr(C)]
struct Response {
    text: *mut c_char,
    code: c_int,
}

/// `struct pam_conv`
#[repr(C)]
struct Conversation {
    converse: extern "C" fn(c_int, *const *const Message, *mut *mut Response, *mut c_void) -> c_int,
    data: *mut c_void,
}

/// `pam_handle_t`
type Handle = *mut c_void;
type Start =
    unsafe extern "C" fn(*const c_char, *const c_char, *const Conversation, *mut Handle) -> c_int;
type StartConfdir = unsafe extern "C" fn(
    *const c_char,
    *const c_char,
    *const Conversation,
    *const c_char,
    *mut Handle,
) -> c_int;
type WithInteger = unsafe extern "C" fn(Handle, c_int) -> c_int;
type SetItem = unsafe extern "C" fn(Handle, c_int, *const c_void) -> c_int;
type GetItem = unsafe extern "C" fn(Handle, c_int, *mut *const c_void) -> c_int;
type StrError = unsafe extern "C" fn(Handle, c_int) -> *const c_char;

#[derive(Debug, thiserror::Error)]
#[error(
    "JupyterHub.authenticator_class is pam, and {NAME} (Linux-PAM; Debian: libpam0g) cannot be used here"
)]
pub struct NoLibrary(#[source] libloading::Error);

#[derive(Debug, thiserror::Error)]
#[error(
    "{NAME} has no pam_start_confdir, which PAMAuthenticator.confdir needs: Linux-PAM 1.4 or newer"
)]
pub struct NoFolder;

/// The library, with what is used of it.
pub struct Pam {
    start: Start,
    /// Since Linux-PAM 1.4.
    start_confdir: Option<StartConfdir>,
    authenticate: WithInteger,
    acct_mgmt: WithInteger,
    end: WithInteger,
    set_item: SetItem,
    get_item: GetItem,
    strerror: StrError,
    /// The functions above are its own.
    _library: Library,
}

/// What is asked.
pub struct Question<'q> {
    pub service: &'q CStr,
    /// Folder with the service's file, in place of the system's.
    pub confdir: Option<&'q CStr>,
    pub user: &'q CStr,
    pub check_account: bool,
}

/// Why PAM does not know somebody by a password.
#[derive(Debug)]
pub struct Failure {
    /// In the words of Linux-PAM.
    pub message: String,
    /// Whether it could answer at all.
    pub answered: bool,
}

/// What the modules ask for and tell during one transaction.
struct Answers {
    password: CString,
    /// How long whoever failed is to wait.
    delay: Cell<Duration>,
}

impl Pam {
    pub fn open() -> Result<Self, NoLibrary> {
        // SAFETY: what libpam.so.0 runs when it is loaded is nothing that asks for more than that; it is the name under
        // which every program of the system that asks PAM has it.
        let library = unsafe { Library::new(NAME) }.map_err(NoLibrary)?;
        // SAFETY: the types are those of the functions of these names in security/pam_appl.h and security/pam_modules.h,
        // and `_library` keeps what they point to.
        unsafe {
            Ok(Self {
                start: *library.get(c"pam_start").map_err(NoLibrary)?,
                start_confdir: library.get(c"pam_start_confdir").ok().map(|found| *found),
                authenticate: *library.get(c"pam_authenticate").map_err(NoLibrary)?,
                acct_mgmt: *library.get(c"pam_acct_mgmt").map_err(NoLibrary)?,
                end: *library.get(c"pam_end").map_err(NoLibrary)?,
                set_item: *library.get(c"pam_set_item").map_err(NoLibrary)?,
                get_item: *library.get(c"pam_get_item").map_err(NoLibrary)?,
                strerror: *library.get(c"pam_strerror").map_err(NoLibrary)?,
                _library: library,
            })
        }
    }

    pub fn takes_folder(&self) -> Result<(), NoFolder> {
        self.start_confdir.map(|_| ()).ok_or(NoFolder)
    }

    /// The user's name as PAM has it, if this is the password; and how long whoever failed is to wait, which it is left to
    /// the caller to do. Blocks for as long as the modules take.
    pub fn ask(
        &self,
        question: &Question<'_>,
        password: CString,
    ) -> (Result<String, Failure>, Duration) {
        let answers = Answers {
            password,
            delay: Cell::default(),
        };
        let result = self.ask_with(question, &answers);
        (result, answers.delay.get())
    }

    fn ask_with(&self, question: &Question<'_>, answers: &Answers) -> Result<String, Failure> {
        let mut transaction = Transaction::start(self, question, answers)?;
        let delay: extern "C" fn(c_int, c_uint, *mut c_void) = remember_delay;
        // SAFETY: the handle is that of a transaction that was started, as in all calls below; this item is a pointer to a
        // function of this type. A library that does not take it waits itself.
        unsafe { (self.set_item)(transaction.handle, FAIL_DELAY, delay as *const c_void) };
        // SAFETY: `answers`, to which the modules' questions go, outlives the transaction.
        let status = unsafe { (self.authenticate)(transaction.handle, FLAGS) };
        transaction.went(status)?;
        if question.check_account {
            // SAFETY: as above.
            let status = unsafe { (self.acct_mgmt)(transaction.handle, FLAGS) };
            transaction.went(status)?;
        }
        let mut user = ptr::null();
        // SAFETY: as above; the library writes one pointer.
        let status = unsafe { (self.get_item)(transaction.handle, USER, &mut user) };
        transaction.went(status)?;
        if user.is_null() {
            transaction.went(BUF_ERR)?;
        }
        // SAFETY: this item is a text with its end, which the library keeps until the transaction's end.
        let user = unsafe { CStr::from_ptr(user.cast()) };
        Ok(user.to_string_lossy().into_owned())
    }
}

/// One transaction, ended whatever happens in it.
struct Transaction<'p> {
    pam: &'p Pam,
    handle: Handle,
    /// That of the last call, which pam_end(3) is told.
    status: c_int,
}

impl<'p> Transaction<'p> {
    fn start(pam: &'p Pam, question: &Question<'_>, answers: &'p Answers) -> Result<Self, Failure> {
        let conversation = Conversation {
            converse,
            data: ptr::from_ref(answers).cast_mut().cast(),
        };
        let (service, user) = (question.service.as_ptr(), question.user.as_ptr());
        let mut handle = ptr::null_mut();
        let status = match (question.confdir, pam.start_confdir) {
            // SAFETY: all are texts with their ends; the library copies them and the conversation, and writes the handle.
            (Some(folder), Some(start)) => unsafe {
                start(service, user, &conversation, folder.as_ptr(), &mut handle)
            },
            // SAFETY: as above.
            _ => unsafe { (pam.start)(service, user, &conversation, &mut handle) },
        };
        if status != SUCCESS || handle.is_null() {
            return Err(Failure {
                message: format!("no transaction could be started (PAM's code {status})"),
                answered: false,
            });
        }
        Ok(Self {
            pam,
            handle,
            status,
        })
    }

    fn went(&mut self, status: c_int) -> Result<(), Failure> {
        self.status = status;
        if status == SUCCESS {
            return Ok(());
        }
        // SAFETY: the text is one of the library's own and stays.
        let text = unsafe { (self.pam.strerror)(self.handle, status) };
        let message = match text.is_null() {
            true => format!("code {status}"),
            // SAFETY: it has its end.
            false => unsafe { CStr::from_ptr(text) }
                .to_string_lossy()
                .into_owned(),
        };
        Err(Failure {
            message,
            answered: !NOT_ANSWERED.contains(&status),
        })
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        // SAFETY: the handle is used no more.
        unsafe { (self.pam.end)(self.handle, self.status) };
    }
}

/// pam_conv(3): whatever is asked for without an echo gets the password. A question with an echo has no answer, for nothing
/// but a name and a password was given.
extern "C" fn converse(
    count: c_int,
    messages: *const *const Message,
    responses: *mut *mut Response,
    data: *mut c_void,
) -> c_int {
    let count = usize::try_from(count).unwrap_or_default();
    let lacks = messages.is_null() || responses.is_null() || data.is_null();
    if lacks || !(1..=MOST_MESSAGES).contains(&count) {
        return CONV_ERR;
    }
    // SAFETY: it is what `Transaction::start` gave, which lives until the transaction's end; only this thread uses it.
    let answers = unsafe { &*data.cast::<Answers>() };
    // SAFETY: the library frees it by free(3), as well as the texts in it.
    let given: *mut Response = unsafe { libc::calloc(count, size_of::<Response>()) }.cast();
    if given.is_null() {
        return BUF_ERR;
    }
    for index in 0..count {
        // SAFETY: Linux-PAM gives `count` pointers to messages, and `given` has as many places.
        let (message, response) = unsafe { (&**messages.add(index), &mut *given.add(index)) };
        let answered = match message.style {
            PROMPT_ECHO_OFF => {
                // SAFETY: it is a text with its end.
                response.text = unsafe { libc::strdup(answers.password.as_ptr()) };
                !response.text.is_null()
            }
            ERROR_MSG | TEXT_INFO => true,
            _ => false,
        };
        if !answered {
            for index in 0..count {
                // SAFETY: each is null or from strdup(3).
                unsafe { libc::free((*given.add(index)).text.cast()) };
            }
            // SAFETY: it is from calloc(3), and the library has not seen it.
            unsafe { libc::free(given.cast()) };
            return CONV_ERR;
        }
    }
    // SAFETY: the library gives a place for one pointer.
    unsafe { *responses = given };
    SUCCESS
}

/// pam_fail_delay(3): the library would let this thread sleep, of which there are few.
extern "C" fn remember_delay(status: c_int, microseconds: c_uint, data: *mut c_void) {
    if status == SUCCESS || data.is_null() {
        return;
    }
    // SAFETY: as in `converse`.
    let answers = unsafe { &*data.cast::<Answers>() };
    answers
        .delay
        .set(Duration::from_micros(microseconds.into()));
}
