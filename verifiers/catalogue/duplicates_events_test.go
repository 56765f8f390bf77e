package catalogue_test

const (
	plaidSync    = `{"webhook_type":"TRANSACTIONS","webhook_code":"SYNC_UPDATES_AVAILABLE","item_id":"i1"}`
	driveChanged = `{"value":[{"subscriptionId":"101","resource":"/me/drive/root","changeType":"updated","clientState":"s"}]}`
)

// distinctEvents are, by provider, deliveries of events that happened one after another.
var distinctEvents = []told{
	{"plaid", []delivery{body(plaidSync), body(plaidSync)}},
	{"pipedrive", []delivery{
		body(`{"meta":{"v":1,"id":8,"action":"updated","object":"deal","timestamp":1523440213,"timestamp_micro":1523440213384700}}`),
		body(`{"meta":{"v":1,"id":8,"action":"updated","object":"deal","timestamp":1523440213,"timestamp_micro":1523440213384800}}`),
		body(`{"meta":{"v":1,"id":8,"action":"updated","object":"deal","timestamp":1523440273}}`),
		body(`{"meta":{"v":1,"id":8,"action":"updated","object":"person","timestamp":1523440273}}`),
		body(`{"meta":{"version":"2.0","id":"u1","action":"change","entity":"deal"}}`),
		body(`{"meta":{"version":"2.0","id":"u2","action":"change","entity":"deal"}}`),
	}},
	{"microsoft_graph", []delivery{body(driveChanged), body(driveChanged), body(`{"value":[{"id":"n1","resource":"r"},{"id":"n2","resource":"r"}]}`)}},
	{"mandrill", []delivery{
		form(`mandrill_events=[{"event":"click","_id":"m","ts":1,"url":"a"},{"event":"click","_id":"m","ts":1,"url":"b"},` +
			`{"event":"inbound","ts":1,"msg":{"raw_msg":"x"}},{"event":"inbound","ts":1,"msg":{"raw_msg":"y"}}]`),
	}},
	{"netlify", []delivery{
		body(`{"id":"d1","state":"ready","updated_at":"2026-11-22T08:00:00Z"}`).with("X-Netlify-Event", "deploy_created"),
		body(`{"id":"d1","state":"ready","updated_at":"2026-11-22T08:05:00Z"}`).with("X-Netlify-Event", "deploy_locked"),
		body(`{"id":"d1","state":"ready","updated_at":"2026-11-22T08:05:00Z"}`).with("X-Netlify-Event", "deploy_unlocked"),
	}},
	{"mailchimp_marketing", []delivery{
		form("type=profile&fired_at=2026-11-20+21:35:57&data[id]=1&data[list_id]=a&data[merges][NAME]=x"),
		form("type=profile&fired_at=2026-11-20+21:35:57&data[id]=1&data[list_id]=b&data[merges][NAME]=x"),
		form("type=profile&fired_at=2026-11-20+21:35:57&data[id]=1&data[list_id]=b&data[merges][NAME]=y"),
	}},
	{"x_twitter", []delivery{
		body(`{"for_user_id":"1","tweet_create_events":[{"id_str":"9"}]}`), body(`{"for_user_id":"2","tweet_create_events":[{"id_str":"9"}]}`),
		body(`{"for_user_id":"1","follow_events":[{"created_timestamp":"1","source":{"id":"3"}}]}`),
		body(`{"for_user_id":"1","follow_events":[{"created_timestamp":"1","source":{"id":"4"}}]}`),
	}},
	{"didit", []delivery{
		body(`{"session_id":"s","status":"In Review","webhook_type":"status.updated","created_at":1,"timestamp":10}`),
		body(`{"session_id":"s","status":"Resubmitted","webhook_type":"status.updated","created_at":1,"timestamp":20}`),
		body(`{"session_id":"s","status":"In Review","webhook_type":"status.updated","created_at":1,"timestamp":30}`),
	}},
	{"vonage", []delivery{
		body(`{"request_id":"r1","type":"event","channel":"sms","status":"completed"}`), body(`{"request_id":"r2","type":"event","channel":"sms","status":"completed"}`),
		body(`{"recording_uuid":"1","timestamp":"t"}`), body(`{"recording_uuid":"2","timestamp":"t"}`),
		{query: "messageId=1&status=delivered"}, {query: "messageId=2&status=delivered"},
	}},
	{"veriff", []delivery{
		body(`{"verification":{"id":"v","attemptId":"a","status":"approved","code":9001,"decisionTime":"1"}}`),
		body(`{"verification":{"id":"v","attemptId":"a","status":"approved","code":9001,"decisionTime":"2"}}`),
		body(`{"attemptId":"a","checkType":"initial_result"}`), body(`{"attemptId":"a","checkType":"updated_result"}`),
	}},
	{"onfido", []delivery{
		body(`{"payload":{"action":"watchlist_monitor.matches_updated","object":{"id":"m"}}}`), body(`{"payload":{"action":"watchlist_monitor.matches_updated","object":{"id":"m"}}}`),
		body(`{"payload":{"action":"check.completed","object":{"id":"1","completed_at_iso8601":"t"}}}`),
		body(`{"payload":{"action":"check.completed","object":{"id":"2","completed_at_iso8601":"t"}}}`),
	}},
	{"clickup", []delivery{
		body(`{"event":"goalUpdated","goal_id":"g"}`), body(`{"event":"goalUpdated","goal_id":"g"}`),
		body(`{"event":"taskUpdated","history_items":[{"id":"1"}]}`), body(`{"event":"taskStatusUpdated","history_items":[{"id":"1"}]}`),
	}},
	{"webflow", []delivery{
		body(`{"triggerType":"ecomm_inventory_changed","payload":{"id":"1","quantity":9}}`), body(`{"triggerType":"ecomm_inventory_changed","payload":{"id":"1","quantity":9}}`),
	}},
	{"jira_connect", []delivery{body(`{"eventType":"enabled","clientKey":"c"}`), body(`{"eventType":"enabled","clientKey":"c"}`)}},
	{"huggingface", []delivery{
		body(`{"event":{"action":"update","scope":"repo.config"},"repo":{"private":true}}`), body(`{"event":{"action":"update","scope":"repo.config"},"repo":{"private":true}}`),
	}},
	{"paystack", []delivery{
		body(`{"event":"customeridentification.failed","data":{"customer_id":"1"}}`), body(`{"event":"customeridentification.failed","data":{"customer_id":"1"}}`),
	}},
	{"exact_online", []delivery{body(`{"Content":{"Topic":"Accounts","Key":"1"}}`), body(`{"Content":{"Topic":"Accounts","Key":"1"}}`)}},
	{"figma", []delivery{
		body(`{"webhook_id":"22","event_type":"LIBRARY_PUBLISH","timestamp":"t","created_components":[{"key":"1"}]}`),
		body(`{"webhook_id":"22","event_type":"LIBRARY_PUBLISH","timestamp":"t","created_styles":[{"key":"1"}]}`),
	}},
	{"recurly", []delivery{
		body(`{"id":"1","object_type":"subscription","event_type":"updated","event_time":"1"}`), body(`{"id":"1","object_type":"subscription","event_type":"updated","event_time":"2"}`),
	}},
	{"hcp_terraform", []delivery{
		body(`{"notification_configuration_id":"n","trigger":"assessment:drifted","details":{"new_assessment_result":{"id":"1"}}}`),
		body(`{"notification_configuration_id":"n","trigger":"assessment:drifted","details":{"new_assessment_result":{"id":"2"}}}`),
	}},
	{"alipay_antom", []delivery{
		body(`{"notifyType":"VAULTING","vaultingRequestId":"1","result":{"resultStatus":"S"}}`), body(`{"notifyType":"VAULTING","vaultingRequestId":"2","result":{"resultStatus":"S"}}`),
	}},
	{"adyen_platform", []delivery{
		body(`{"type":"balancePlatform.balanceAccount.updated","timestamp":"t","data":{"balanceAccount":{"id":"1"}}}`),
		body(`{"type":"balancePlatform.balanceAccount.updated","timestamp":"t","data":{"balanceAccount":{"id":"2"}}}`),
	}},
	{"adyen_payments", []delivery{
		body(`{"notificationItems":[{"NotificationRequestItem":{"eventCode":"CAPTURE","pspReference":"1","success":"true","reason":""}}]}`),
		body(`{"notificationItems":[{"NotificationRequestItem":{"eventCode":"CAPTURE","pspReference":"1","success":"true","reason":"more"}}]}`),
	}},
	{"cal_com", []delivery{body(`{"triggerEvent":"MEETING_STARTED","uid":"1"}`), body(`{"triggerEvent":"MEETING_STARTED","uid":"2"}`)}},
	{"docusign", []delivery{
		body(`{"event":"recipient-sent","generatedDateTime":"t","data":{"envelopeId":"1","recipientId":"1"}}`),
		body(`{"event":"recipient-sent","generatedDateTime":"t","data":{"envelopeId":"1","recipientId":"2"}}`),
	}},
	{"fillout", []delivery{
		body(`{"submission":{"submissionId":"1","lastUpdatedAt":"1"}}`), body(`{"submission":{"submissionId":"1","lastUpdatedAt":"2"}}`),
		body(`{"submission":{"submissionId":"1","questions":[1]}}`), body(`{"submission":{"submissionId":"1","questions":[2]}}`),
	}},
	{"gitlab", []delivery{
		body(`{"object_kind":"push"}`).with("X-Gitlab-Event-UUID", "1"), body(`{"object_kind":"merge_request"}`).with("X-Gitlab-Event-UUID", "1"),
	}},
	{"gitlab_token", []delivery{
		body(`{"object_kind":"push"}`).with("X-Gitlab-Event-UUID", "1"), body(`{"object_kind":"merge_request"}`).with("X-Gitlab-Event-UUID", "1"),
	}},
	{"hubspot_v3", []delivery{
		body(`[{"eventId":1,"subscriptionId":2,"occurredAt":3,"objectId":4,"propertyName":"a"},{"eventId":1,"subscriptionId":2,"occurredAt":3,"objectId":5,"propertyName":"a"},` +
			`{"eventId":1,"subscriptionId":2,"occurredAt":3,"objectId":4,"propertyName":"b"}]`),
	}},
	{"jotform", []delivery{form("submissionID=1&rawRequest={\"q\":\"1\"}"), form("submissionID=1&rawRequest={\"q\":\"2\"}")}},
	{"meraki", []delivery{body(`{"alertId":"0","occurredAt":"1"}`), body(`{"alertId":"0","occurredAt":"2"}`)}},
	{"messagebird_legacy", []delivery{form("id=1&status=delivered&statusDatetime=t&recipient=1"), form("id=1&status=delivered&statusDatetime=t&recipient=2")}},
	{"messagebird_jwt", []delivery{{query: "id=1&status=delivered&statusDatetime=t&recipient=1"}, {query: "id=1&status=delivered&statusDatetime=t&recipient=2"}}},
	{"monday", []delivery{body(`{"event":{"triggerUuid":"1","columnId":"a"}}`), body(`{"event":{"triggerUuid":"1","columnId":"b"}}`)}},
	{"plivo_v3", []delivery{
		form("CallUUID=1&CallStatus=in-progress&Event=Redirect&Digits=1").with("X-Plivo-Signature-V3-Nonce", "1"),
		form("CallUUID=1&CallStatus=in-progress&Event=Redirect&Digits=1").with("X-Plivo-Signature-V3-Nonce", "2"),
	}},
	{"postmark", []delivery{
		body(`{"RecordType":"Click","MessageID":"1","ReceivedAt":"t","OriginalLink":"a"}`), body(`{"RecordType":"Click","MessageID":"1","ReceivedAt":"t","OriginalLink":"b"}`),
	}},
	{"brevo", []delivery{body(`{"event":"contact_updated","email":"a","ts":1}`), body(`{"event":"contact_updated","email":"a","ts":2}`)}},
	{"frameio", []delivery{
		body(`{"type":"asset.updated","resource":{"id":"1"},"user":{"id":"1"}}`).with("X-Frameio-Request-Timestamp", "1"),
		body(`{"type":"asset.updated","resource":{"id":"1"},"user":{"id":"2"}}`).with("X-Frameio-Request-Timestamp", "1"),
	}},
	{"yellowcard", []delivery{body(`{"id":"1","event":"KYC_APPROVED","executedAt":1}`), body(`{"id":"1","event":"KYC_APPROVED","executedAt":2}`)}},
	{"vericato", []delivery{
		body(`{"event":"e","timestamp":"1","data":{"verification_id":"v"}}`).with("X-Vericato-Event", "e").with("X-Vericato-Verification-Id", "v"),
		body(`{"event":"e","timestamp":"2","data":{"verification_id":"v"}}`).with("X-Vericato-Event", "e").with("X-Vericato-Verification-Id", "v"),
	}},
	{"idenfy", []delivery{body(`{"scanRef":"1","final":true,"status":{"overall":"APPROVED"}}`), body(`{"scanRef":"1","final":true,"status":{"overall":"APPROVED"}}`)}},
	{"shufti", []delivery{body(`{"reference":"1","event":"verification.accepted"}`), body(`{"reference":"1","event":"verification.accepted"}`)}},
	{"twilio", []delivery{
		form("CallSid=CA1&RecordingSid=RE1&RecordingStatus=completed"), form("CallSid=CA1&RecordingSid=RE2&RecordingStatus=completed"),
		form("CallSid=CA1&CallStatus=in-progress&Digits=1"), form("CallSid=CA1&CallStatus=in-progress&Digits=1"),
		body(`[{"id":"1"}]`), body(`[{"id":"2"}]`),
	}},
	{"aiprise", []delivery{
		body(`{"event_type":"VERIFICATION_SESSION_STARTED","verification_session_id":"1"}`), body(`{"event_type":"VERIFICATION_REQUEST_SUBMITTED","verification_session_id":"1"}`),
		body(`{"event_type":"CASE_STATUS_UPDATE","verification_session_id":"1","verification_result":"APPROVED"}`),
		body(`{"event_type":"CASE_STATUS_UPDATE","verification_session_id":"1","verification_result":"APPROVED"}`),
	}},
	{"incode", []delivery{
		body(`{"interviewId":"1","onboardingStatus":"MANUAL_REVIEW_APPROVED"}`), body(`{"interviewId":"1","onboardingStatus":"MANUAL_REVIEW_REJECTED"}`),
	}},
	{"jumio", []delivery{
		body(`{"callbackSentAt":"1","workflowExecution":{"id":"1","status":"PROCESSED"}}`), body(`{"callbackSentAt":"2","workflowExecution":{"id":"1","status":"PROCESSED"}}`),
		form("jumioIdScanReference=1&verificationStatus=a&callbackDate=1"), form("jumioIdScanReference=1&verificationStatus=a&callbackDate=2"),
	}},
	{"flutterwave", []delivery{
		body(`{"event":"subscription.cancelled","data":{"status":"deactivated","customer":{"email":"a"}}}`),
		body(`{"event":"subscription.cancelled","data":{"status":"deactivated","customer":{"email":"b"}}}`),
		body(`{"event":"subscription.cancelled","data":{"status":"deactivated","customer":{"email":"a"}}}`),
	}},
	{"flutterwave_v4", []delivery{body(`{"webhook_id":"1","timestamp":1}`), body(`{"webhook_id":"1","timestamp":2}`)}},
	{"discourse", []delivery{
		body(`{"ping":"OK"}`), body(`{"ping":"OK"}`),
		body(`{"user":{"id":1}}`).with("X-Discourse-Event", "user_logged_out"), body(`{"user":{"id":1}}`).with("X-Discourse-Event", "user_logged_out"),
	}},
	{"bigcommerce", []delivery{
		body(`{"scope":"store/product/updated","data":{"id":1},"hash":"h","created_at":1}`), body(`{"scope":"store/product/updated","data":{"id":1},"hash":"h","created_at":2}`),
	}},
	{"ably", []delivery{
		body(`{"items":[{"webhookId":"1","serial":"s","name":"n","data":{"channelId":"1"}},{"webhookId":"1","serial":"s","name":"n","data":{"channelId":"2"}}]}`),
		body(`{"items":[{"webhookId":"2","name":"channel.opened"},{"webhookId":"2","name":"channel.opened"}]}`),
	}},
	{"keap", []delivery{body(`{"event_key":"contact.edit","object_keys":[{"id":1}]}`), body(`{"event_key":"contact.edit","object_keys":[{"id":1}]}`)}},
	{"trello", []delivery{body(`{"action":{"id":"1"},"model":{"id":"card"}}`), body(`{"action":{"id":"1"},"model":{"id":"board"}}`)}},
	{"slack", []delivery{
		form(`payload={"type":"block_suggestion","value":"a"}`), form(`payload={"type":"block_suggestion","value":"a"}`),
	}},
	{"ghost", []delivery{
		body(`{"event":"site.changed"}`).with("X-Ghost-Signature", "sha256=00, t=1"), body(`{"event":"site.changed"}`).with("X-Ghost-Signature", "sha256=01, t=2"),
	}},
	{"shopify", []delivery{
		body(`{"id":1}`).with("X-Shopify-Event-Id", "e").with("X-Shopify-Topic", "products/update"),
		body(`{"id":2}`).with("X-Shopify-Event-Id", "e").with("X-Shopify-Topic", "products/update"),
		body(`{"id":3}`).with("X-Shopify-Topic", "products/update"), body(`{"id":4}`).with("X-Shopify-Topic", "products/update"),
	}},
	{"affirm", []delivery{body(`{"event":"opened","checkout_token":"a"}`), body(`{"event":"opened","checkout_token":"b"}`)}},
	{"cryptapi", []delivery{{query: "pending=0&payment_id=1"}, {query: "pending=0&payment_id=2"}}},
	{"asana", []delivery{body(`{"events":[]}`), body(`{"events":[]}`)}},
	{"castle", []delivery{body(`{"type":"$user.updated","created_at":"1","data":{"user_id":"1"}}`), body(`{"type":"$user.updated","created_at":"1","data":{"user_id":"2"}}`)}},
	{"cashfree_secure_id", []delivery{
		body(`{"event_type":"e","event_time":"1","data":{"user_id":"1"}}`), body(`{"event_type":"e","event_time":"1","data":{"user_id":"2"}}`),
	}},
	{"datadog", []delivery{body(`{"alert_transition":"Triggered","body":"a"}`), body(`{"alert_transition":"Triggered","body":"b"}`)}},
	{"docker_hub", []delivery{
		body(`{"callback_url":"1","push_data":{"pushed_at":1,"tag":"latest"},"repository":{"repo_name":"a"}}`),
		body(`{"callback_url":"2","push_data":{"pushed_at":1,"tag":"latest"},"repository":{"repo_name":"a"}}`),
	}},
	{"elevenlabs", []delivery{body(`{"type":"t","event_timestamp":1,"data":{"a":1}}`), body(`{"type":"t","event_timestamp":1,"data":{"a":2}}`)}},
	{"google_chat", []delivery{body(`{"type":"WIDGET_UPDATED","space":{"name":"s"}}`), body(`{"type":"WIDGET_UPDATED","space":{"name":"s"}}`)}},
	{"google_chat_project_number", []delivery{body(`{"type":"WIDGET_UPDATED","space":{"name":"s"}}`), body(`{"type":"WIDGET_UPDATED","space":{"name":"s"}}`)}},
	{"mercadopago", []delivery{body(`{"topic":"merchant_order","resource":"r"}`), body(`{"topic":"merchant_order","resource":"r"}`)}},
	{"merge", []delivery{body(`{"hook":{"event":"relink_needed"},"data":{"id":"1"}}`), body(`{"hook":{"event":"relink_needed"},"data":{"id":"1"}}`)}},
	{"mixpanel", []delivery{body(`{"action":"add_members","parameters":{"members":[]}}`), body(`{"action":"add_members","parameters":{"members":[]}}`)}},
	{"mongodb_atlas", []delivery{
		body(`{"id":"1","status":"OPEN","updated":"1","lastNotified":"1"}`), body(`{"id":"1","status":"OPEN","updated":"1","lastNotified":"2"}`),
	}},
	{"new_relic", []delivery{body(`{"id":"1","state":"ACTIVATED","trigger":"STATE_CHANGE"}`), body(`{"id":"1","state":"ACTIVATED","trigger":"STATE_CHANGE"}`)}},
	{"onfleet", []delivery{body(`{"triggerId":8,"time":1,"data":{"a":1}}`), body(`{"triggerId":8,"time":1,"data":{"a":2}}`)}},
	{"planetscale", []delivery{body(`{"event":"branch.ready","timestamp":1,"database":"a"}`), body(`{"event":"branch.ready","timestamp":1,"database":"b"}`)}},
	{"shipengine", []delivery{body(`{"resource_type":"API_BATCH","resource_url":"u"}`), body(`{"resource_type":"API_BATCH","resource_url":"u"}`)}},
	{"sumsub", []delivery{
		body(`{"applicantId":"1","type":"applicantReviewed","reviewResult":{"reviewAnswer":"RED"}}`), body(`{"applicantId":"1","type":"applicantReviewed","reviewResult":{"reviewAnswer":"GREEN"}}`),
	}},
	// A path that fans out over elements none of which have it is no id.
	{"linkedin", []delivery{body(`{"notifications":[{"action":"LIKE"}]}`), body(`{"notifications":[{"action":"SHARE"}]}`)}},
}
