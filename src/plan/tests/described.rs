//! Events that describe their people.

use super::*;

#[test]
fn an_event_that_describes_its_people_needs_no_directory_and_one_that_does_not_is_rejected() {
    let recipient = InlineRecipient { addresses: vec![email()], ..InlineRecipient::default() };
    let asked = |index, query| Question { query, purpose: Purpose::Step(index) };
    let partner = || AudienceQuery::Partner { partner: "minh-phat".into(), duties: Vec::new() };
    let manager = || Question {
        query: AudienceQuery::Manager("minh-phat".into()),
        purpose: Purpose::Manager,
    };
    let stranger =
        Stranger { recipient: recipient.clone(), suppressed: Vec::new(), consents: Vec::new() };
    let described = Recipients { strangers: vec![stranger], ..Recipients::default() };
    let answers = [
        (manager(), Resolution::UnknownPartner),
        (asked(0, partner()), Resolution::UnknownPartner),
        (asked(0, AudienceQuery::Inline(vec![recipient])), Resolution::Recipients(described)),
    ];
    let (event, event_type) = (event(json!({})), to_partner(&[Channel::Email]));

    let planned = plan(&event, &event_type, &answers, &rules(), time(NOON)).unwrap();
    let fault = plan(&event, &event_type, &answers[..2], &rules(), time(NOON)).unwrap_err();

    let rows: Vec<_> = planned.deliveries.iter().map(|planned| &planned.delivery).collect();
    assert_eq!(rows.len(), 2);
    assert_eq!((rows[0].state, rows[0].reason), (State::Skipped, Reason::EmptyAudience));
    assert_eq!(rows[0].detail.as_deref(), Some("partner `minh-phat` is not known"));
    assert_eq!(
        (rows[1].state, rows[1].recipient_key.as_str()),
        (State::Waiting, "an@partner.test")
    );
    assert_eq!(fault.reason, RejectReason::UnknownPartner);
}

#[test]
fn who_is_described_by_an_id_alone_is_skipped_with_how_a_contact_is_named() {
    let of = |id: Option<&str>, addresses: Vec<Address>| {
        let (id, name) = (id.map(str::to_owned), Some("An".to_owned()));
        let recipient = InlineRecipient { id, name, addresses, ..InlineRecipient::default() };
        let query = AudienceQuery::Inline(vec![recipient.clone()]);
        let stranger = Stranger { recipient, suppressed: Vec::new(), consents: Vec::new() };
        let found = Recipients { strangers: vec![stranger], ..Recipients::default() };
        let question = Question { query, purpose: Purpose::Step(0) };
        let answers = [(question, Resolution::Recipients(found))];
        let event_type = to_partner(&[Channel::Email]);
        let plan = plan(&event(json!({})), &event_type, &answers, &rules(), time(NOON)).unwrap();
        plan.deliveries.into_iter().next().unwrap().delivery
    };

    let ghost = of(Some("ghost"), Vec::new());

    assert_eq!((ghost.state, ghost.reason), (State::Skipped, Reason::NoAddress));
    let detail = ghost.detail.unwrap();
    assert!(detail.contains("`ghost`") && detail.contains("\"contact\""), "{detail}");
    assert_eq!(of(Some("ghost"), vec![phone()]).detail, None);
    assert_eq!(of(None, Vec::new()).detail, None);
}
