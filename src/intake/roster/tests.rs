//! Files of contacts and partners, good and bad.

use serde_json::json;

use super::*;

fn roster() -> Roster {
    Roster { region: "VN".to_owned(), now: "2026-11-23T02:00:00Z".parse().unwrap() }
}

fn contact(row: Value) -> (Contact, Vec<Consent>) {
    match roster().read(Kind::Contact, row).unwrap() {
        DirectoryChange::Contact { contact, consents } => (contact, consents),
        DirectoryChange::Partner(partner) => panic!("{partner:?}"),
    }
}

fn fault(kind: Kind, row: Value) -> String {
    told(roster().read(kind, row).unwrap_err())
}

fn told(misfits: Vec<Misfit>) -> String {
    misfits.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_table_of_contacts_is_read_as_people_write_it() {
    let table = "\u{feff}id,name,email,phone,tags,marketing,duty\r\n\
                 lan,Nguyễn Thị Lan,Lan@MinhPhat.example,090 123 4567,tea; coffee,yes,\r\n\
                 \"an\",\"Lê, An\",,,,,buyer\r\n";

    let found = rows(Kind::Contact, Format::Csv, table.as_bytes()).unwrap();

    assert_eq!(found.iter().map(|row| row.line).collect::<Vec<_>>(), [2, 3]);
    let (lan, consents) = contact(found[0].value.clone().unwrap());
    let values: Vec<_> = lan.addresses.iter().map(Address::value).collect();
    assert_eq!(values, ["lan@minhphat.example", "+84901234567"]);
    assert_eq!(lan.tags, ["tea", "coffee"]);
    assert_eq!((lan.duty, lan.changed_at), (None, roster().now));
    assert!(consents.len() == 2 && consents.iter().all(|consent| consent.granted));
    let (an, consents) = contact(found[1].value.clone().unwrap());
    assert_eq!((an.name.as_str(), an.duty.as_deref()), ("Lê, An", Some("buyer")));
    assert!(an.addresses.is_empty() && consents.is_empty());
}

#[test]
fn a_bad_row_of_a_table_names_its_line_and_the_others_stay() {
    let table = "id,name,marketing\nlan,Lan\nan,An,\nhoa,Hoa,no\n";

    let found = rows(Kind::Contact, Format::Csv, table.as_bytes()).unwrap();

    let faults: Vec<_> = found.iter().map(|row| row.value.as_ref().err()).collect();
    let text = |at: usize| faults[at].unwrap().to_string();
    assert_eq!(
        (found[0].line, text(0)),
        (2, "expected 3 columns as in the header, found 2".into())
    );
    assert!(faults[1].is_none() && faults[2].is_none());
}

#[test]
fn a_table_with_a_column_that_there_is_not_is_refused_by_its_header() {
    let said = |kind: Kind, table: &str| {
        rows(kind, Format::Csv, table.as_bytes()).unwrap_err().to_string()
    };

    let unknown = said(Kind::Contact, "id,name,mail,fon\nlan,Lan,lan@minhphat.example,\n");
    let twice = said(Kind::Contact, "id,name,email,email\n");
    let missing = said(Kind::Partner, "id,tier\nmp,vip\n");

    assert!(
        unknown.starts_with("line 1: `mail`, `fon` is no column; the columns are `id`, `name`")
    );
    assert!(unknown.contains("`email`, `phone`") && !unknown.contains("lan@"), "{unknown}");
    assert_eq!(twice, "line 1: the column `email` stands there twice");
    assert_eq!(missing, "line 1: the column `name` is missing");
    assert!(rows(Kind::Contact, Format::Csv, b"id,name,\nlan,Lan,\n").is_ok());
}

#[test]
fn every_column_of_a_table_is_a_member_of_its_row() {
    for kind in [Kind::Contact, Kind::Partner] {
        for column in kind.columns() {
            let said = fault(kind, json!({ (*column): [[]] }));

            assert!(!said.contains("unknown field"), "{column}: {said}");
        }
    }
}

#[test]
fn a_bad_line_of_ndjson_names_its_line_and_the_others_stay() {
    let found =
        rows(Kind::Contact, Format::Ndjson, b"{\"id\":\"a\"}\n\n{oops\n{\"id\":\"b\"}").unwrap();

    let lines: Vec<_> = found.iter().map(|row| (row.line, row.value.is_ok())).collect();
    assert_eq!(lines, [(1, true), (3, false), (4, true)]);
}

#[test]
fn of_two_rows_with_one_id_the_second_is_a_fault() {
    let found = rows(Kind::Contact, Format::Csv, b"id,name\na,A\nb,B\na,Other\n").unwrap();

    assert!(found[0].value.is_ok() && found[1].value.is_ok());
    let text = found[2].value.as_ref().unwrap_err().to_string();
    assert_eq!(text, "/id: the same id stands in line 2; keep one of them");
}

#[test]
fn a_fault_names_the_member_and_what_was_expected_but_no_address() {
    let row = |key: &str, value: Value| {
        let mut row = json!({ "id": "lan", "name": "Lan" });
        row[key] = value;
        row
    };
    let said = |key: &str, value: Value| fault(Kind::Contact, row(key, value));

    assert!(said("nmae", json!("Lan")).contains("unknown field `nmae`"));
    assert!(said("tags", json!(["a", 7])).starts_with("/tags/1: invalid type: integer `7`"));
    assert!(said("id", json!(" ")).starts_with("/id: expected an id"));
    assert!(
        said("name", json!("Lan\r\nBcc: x")).starts_with("/name: expected a name, on one line")
    );
    assert!(
        said("time_zone", json!("Asia/Hanoi2")).starts_with("/time_zone: expected a time zone")
    );
    assert!(said("locale", json!("vietnamese")).starts_with("/locale: expected a language tag"));
    let email = said("email", json!("canary-without-domain"));
    assert!(email.starts_with("/email: ") && !email.contains("canary"), "{email}");
    let chat = json!([{ "channel": "chat", "provider": "team", "target": HIDDEN_TARGET }]);
    assert!(said("addresses", chat).starts_with("/addresses/0: Loa does not show chat targets"));
    let tier = json!({ "id": "mp", "name": "Minh Phát", "tier": "gold" });
    assert!(fault(Kind::Partner, tier).starts_with("/tier: unknown variant `gold`"));
    assert!(fault(Kind::Partner, json!([1])).contains("invalid"));
}

#[test]
fn a_channel_that_a_partner_names_twice_is_refused() {
    let row = json!({ "id": "mp", "name": "Minh Phát", "tier": "vip",
        "channels": ["email", "sms", "email"] });

    let said = fault(Kind::Partner, row);

    assert_eq!(said, "/channels/2: `email` stands there twice; name each channel once");
}

#[test]
fn what_no_store_can_index_is_refused_with_its_place_and_not_repeated() {
    let long = "é".repeat(257);
    let row = |key: &str, value: Value| {
        let mut row = json!({ "id": "lan", "name": "Lan" });
        row[key] = value;
        row
    };

    for (key, value, place) in [
        ("id", json!(long), "/id"),
        ("name", json!(long), "/name"),
        ("partner", json!(long), "/partner"),
        ("superior", json!(long), "/superior"),
        ("tags", json!(["a", long]), "/tags/1"),
        ("teams", json!(["a", long]), "/teams/1"),
        ("chat", json!(format!("team-chat:{}", long.repeat(2))), "/chat"),
    ] {
        let said = fault(Kind::Contact, row(key, value));
        assert!(said.starts_with(&format!("{place}: longer than ")), "{said}");
        assert!(!said.contains("ééé"), "{said}");
    }
    let nul = fault(Kind::Contact, row("tags", json!(["a\0b"])));
    assert!(nul.starts_with("/tags/0: holds the character U+0000"), "{nul}");
    let partner = json!({ "id": "mp", "name": "Minh Phát", "manager": long });
    assert!(fault(Kind::Partner, partner).starts_with("/manager: longer than 512 bytes"));
}

#[test]
fn every_fault_of_a_row_is_told() {
    let table = "id,name,email,locale,time_zone,marketing,changed_at\n\
                 an,,no-address,vietnamese,Hanoi,perhaps,yesterday\n";

    let found = rows(Kind::Contact, Format::Csv, table.as_bytes()).unwrap();
    let said = fault(Kind::Contact, found[0].value.clone().unwrap());

    let places: Vec<_> = said.lines().filter_map(|line| line.split(':').next()).collect();
    assert_eq!(
        places,
        ["missing field `name`", "/changed_at", "/marketing", "/email", "/locale", "/time_zone"],
        "{said}"
    );
    assert!(said.contains("/changed_at: expected a time with its offset, such as 2026"), "{said}");
    assert!(said.contains("/marketing: expected yes or no"), "{said}");
}

#[test]
fn a_table_with_other_signs_between_its_columns_is_told_so() {
    for (sign, name) in [(';', "semicolons"), ('\t', "tabs")] {
        let table = "id,name,email\nlan,Lan,lan@minhphat.example\n".replace(',', &sign.to_string());

        let said = rows(Kind::Contact, Format::Csv, table.as_bytes()).unwrap_err().to_string();

        assert!(
            said.starts_with(&format!("line 1: the columns are separated by {name}")),
            "{said}"
        );
    }
}

#[test]
fn nobody_is_their_own_superior() {
    let row = json!({ "id": "bao", "name": "Bảo", "superior": "bao" });

    assert!(fault(Kind::Contact, row).starts_with("/superior: names the contact itself"));
}
