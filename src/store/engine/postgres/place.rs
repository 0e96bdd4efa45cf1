//! Says where a PostgreSQL database is.

use std::str::FromStr;

use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::Config;
use tokio_postgres::config::Host;

/// Where a database is, for people, without a password.
pub(in crate::store) fn describe(url: &SecretString) -> String {
    let Ok(config) = Config::from_str(url.expose_secret()) else {
        return "PostgreSQL".to_owned();
    };
    let port = |index: usize| {
        let ports = config.get_ports();
        ports.get(index).or(ports.first()).copied().unwrap_or(5432)
    };
    let place = |(index, host): (usize, &Host)| match host {
        Host::Tcp(name) => format!("{name}:{}", port(index)),
        Host::Unix(folder) => folder.display().to_string(),
    };
    let places: Vec<_> = config.get_hosts().iter().enumerate().map(place).collect();
    let database = config.get_dbname().or(config.get_user()).unwrap_or_default();
    format!("PostgreSQL at {} (database `{database}`)", places.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_database_is_names_hosts_and_no_password() {
        let said = |url: &str| describe(&SecretString::from(url));

        assert_eq!(
            said("postgres://loa:canary-secret@db.example:6543,db2.example:7000/shop"),
            "PostgreSQL at db.example:6543, db2.example:7000 (database `shop`)"
        );
        assert_eq!(
            said("postgres://loa@db.example"),
            "PostgreSQL at db.example:5432 (database `loa`)"
        );
        assert_eq!(said("canary-secret"), "PostgreSQL");
    }
}
