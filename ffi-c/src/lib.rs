//! svctoken: service-account tokens, and the requests made with them.
//!
//!     #include <svctoken.h>
//!     svctoken_client *client = NULL; svctoken_error *error = NULL; char *token = NULL;
//!     if (svctoken_client_new_atlas(NULL, &client, &error)) goto failed;
//!     if (svctoken_client_get_token(client, NULL, &token, &error)) goto failed;
//!
//! ERRORS. A function that can fail returns a code: SVCTOKEN_OK, which is 0, or why it failed. Its last parameter takes
//! the details: point it at a svctoken_error * that is NULL, free what you find there with svctoken_error_free; or pass
//! NULL if you do not care. Results and errors are written only in their own case: a result on success, an error on
//! failure. A bug inside the library comes back as SVCTOKEN_PANIC; it does not end your program.
//!
//! OWNERSHIP. What a function hands you through a pointer to a pointer, or returns from a function called _new, is yours
//! until you give it to the _free of its type. A string you own you give to svctoken_string_free, which wipes it. Never
//! use free(). What a getter returns as a pointer to const is borrowed from its object, until that is freed. What you
//! pass in is copied, or not needed after the call. Free each thing once, and not while a call uses it.
//!
//! NULL. Every function takes NULL for every pointer without harm: _free does nothing, a function with a code returns
//! SVCTOKEN_INVALID_ARGUMENT where NULL is not said to be allowed, a getter returns 0, false or NULL.
//!
//! STRINGS are UTF-8 and NUL-terminated, both ways; bodies are bytes with a length. Other bytes are refused by a code,
//! and the error names the field.
//!
//! THREADS. What a function takes as a pointer to const may be used by several threads at once, above all a client: make
//! one and keep it. A config and options are changed by one thread at a time.
//!
//! FORK. A client made before fork works in the child, which opens connections of its own; a living token is used by
//! both. Between a fork in a program with several threads and the child's exec or use of a client, POSIX's rules for
//! the child hold as ever.
//!
//! SIGNALS. The library installs no handler and blocks no signal in your threads. A call goes on after a signal; to end
//! it, trigger a svctoken_cancel from your handler. SIGPIPE is never raised.
//!
//! ENVIRONMENT. Read only in the constructors that say so; as with getenv, no other thread may change it meanwhile.
#![allow(non_camel_case_types, reason = "these are C's names")]

pub mod body;
mod boundary;
pub mod cancel;
pub mod client;
pub mod config;
pub mod download;
pub mod error;
pub mod log;
pub mod options;
pub mod pages;
pub mod response;
pub mod secret;
pub mod stats;
pub mod testing;
pub mod token;
pub mod version;
