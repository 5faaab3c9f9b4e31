//! The whole sandbox: its CA, its spaces, its admin port.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::admin;
use crate::listener::Port;
use crate::settings::SettingsError;
use crate::space::Space;
use crate::tls::Identities;

/// A running sandbox. Dropping it ends every space and the admin API.
pub struct Sandbox {
    admin: String,
    admin_port: Port,
    spaces: Arc<Spaces>,
}

impl Sandbox {
    /// Makes a CA and starts the admin API on a free loopback port.
    ///
    /// # Panics
    /// When the machine gives no random bytes, no free loopback port, or no thread: nothing could be tested then.
    pub fn start() -> Sandbox {
        let spaces = Arc::new(Spaces {
            identities: Arc::new(Identities::generate()),
            table: Mutex::new(Table { next: 1, living: HashMap::new() }),
        });
        let mut admin_port = Port::reserve().expect("loopback has a free port and this process a free descriptor");
        let served = Arc::clone(&spaces);
        admin_port
            .open(move |stream| admin::accept(&served, stream))
            .expect("the port is reserved and this process may start a thread");
        Sandbox { admin: format!("http://127.0.0.1:{}", admin_port.number()), admin_port, spaces }
    }

    /// The origin of the admin API, like `http://127.0.0.1:40000`.
    pub fn admin(&self) -> &str {
        &self.admin
    }

    /// The certificate, in PEM, that every good HTTPS server of this sandbox is signed by.
    pub fn ca_pem(&self) -> &str {
        &self.spaces.identities.ca_pem
    }

    /// A certificate for another server on loopback and its key, in PEM, signed by the same authority.
    pub fn other_server_pem(&self) -> &[String; 2] {
        &self.spaces.identities.other_server_pem
    }

    /// Opens a space with these settings, a JSON object as README.md describes (`{}` for the defaults).
    ///
    /// # Errors
    /// An unknown setting or a wrong value, named in the text.
    pub fn create_space(&self, settings: &Value) -> Result<Arc<Space>, SettingsError> {
        self.spaces.create(settings)
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.admin_port.close();
        let spaces: Vec<_> = self.spaces.table().living.drain().collect();
        for (_, space) in spaces {
            space.delete();
        }
    }
}

/// The spaces by name, as the admin API's threads share them.
pub(crate) struct Spaces {
    identities: Arc<Identities>,
    table: Mutex<Table>,
}

struct Table {
    next: u64,
    living: HashMap<String, Arc<Space>>,
}

impl Spaces {
    pub(crate) fn create(&self, settings: &Value) -> Result<Arc<Space>, SettingsError> {
        let settings = settings.as_object().ok_or_else(|| SettingsError("settings are a JSON object".into()))?;
        let mut table = self.table();
        let name = format!("s{}", table.next);
        let space = Space::open(name.clone(), Arc::clone(&self.identities), settings)?;
        table.next += 1;
        table.living.insert(name, Arc::clone(&space));
        Ok(space)
    }

    pub(crate) fn find(&self, name: &str) -> Option<Arc<Space>> {
        self.table().living.get(name).cloned()
    }

    pub(crate) fn remove(&self, name: &str) -> Option<Arc<Space>> {
        self.table().living.remove(name)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
