package verifiers

// Names of schemes (Spec.Scheme).
const (
	SchemeHMAC       = "hmac"        // keyed hash of the signed content
	SchemeConcatHash = "concat_hash" // plain hash of content that contains the secret
	SchemeStandard   = "standard"    // Standard Webhooks, v1 (shared secret) and v1a (public key)
	SchemeEd25519    = "ed25519"
	SchemeECDSA      = "ecdsa"
	SchemeRSA        = "rsa"      // public key given, or fetched from a pinned host
	SchemeRSACert    = "rsa_cert" // certificate fetched from an address in the request, host pinned
	SchemeJWT        = "jwt"      // a token whose claims may bind the body
	SchemeJWS        = "jws"      // a (detached) JWS whose payload is the signed content
	SchemeToken      = "token"    // a shared secret sent as it is
	SchemeBasic      = "basic"    // HTTP Basic; the secret is "user:password"
	SchemeNone       = "none"     // unsigned
	SchemeGuest      = "guest"    // code given with [WithVerifier]
)

// Levels of Spec.Confidence, best first.
const (
	ConfidenceSDK         = "sdk"         // the official SDK's code was read
	ConfidenceOfficial    = "official"    // the provider's documentation was read
	ConfidenceSecondary   = "secondary"   // others' code or documents
	ConfidenceSeed        = "seed"        // told by an integrator
	ConfidenceUnconfirmed = "unconfirmed" // believed
)

// Spec is one provider as data: how it signs, names its events, wants to be answered and shakes hands. The catalogue holds one per
// provider; a configuration overrides fields of one (see [Spec.Merge], [Spec.Set]) or writes a whole one over a bare scheme.
//
// Three small languages are used in it. An expression (see [ParseExpr]) reads one value of a request. A template (see
// [ParseTemplate]) builds signed content and replies. A format (see [Signature]) describes a header's value.
type Spec struct {
	// ID is the provider's name in a configuration: lower case letters, digits and underscores.
	ID string `json:"id,omitempty" yaml:"id"`
	// Name is what the vendor calls itself.
	Name string `json:"name,omitempty" yaml:"name"`
	// Docs is the address of the provider's description of its signatures.
	Docs string `json:"docs,omitempty" yaml:"docs"`
	// Confidence says how well the facts are confirmed: sdk, official, secondary, seed or unconfirmed.
	Confidence string `json:"confidence,omitempty" yaml:"confidence"`
	// ConfirmedBy names what was read to confirm them.
	ConfirmedBy string `json:"confirmed_by,omitempty" yaml:"confirmed_by"`
	// Quirks are what a user of this provider must know, one sentence each.
	Quirks []string `json:"quirks,omitempty" yaml:"quirks"`

	// Scheme is one of the Scheme constants. Required.
	Scheme string `json:"scheme,omitempty" yaml:"scheme"`
	// Custom names registered code that replaces the scheme's own for what data cannot express. Scheme still says what it is.
	Custom string `json:"custom,omitempty" yaml:"custom"`
	// Algorithm is the hash: md5, sha1, sha256 (default), sha384 or sha512.
	Algorithm string `json:"algorithm,omitempty" yaml:"algorithm"`
	// AlgorithmBy lets the request name the hash out of a fixed list. Without it the request has no say.
	AlgorithmBy *AlgorithmBy `json:"algorithm_by,omitempty" yaml:"algorithm_by"`
	// Padding is RSA's: pkcs1v15 (default) or pss.
	Padding string `json:"padding,omitempty" yaml:"padding"`
	// Prehash is a hash that is applied to the content before the scheme hashes it again (sha256: the raw digest is what is signed).
	Prehash string `json:"prehash,omitempty" yaml:"prehash"`

	// Key says what the configured secret is and how it becomes a key.
	Key Key `json:"key,omitzero" yaml:"key"`
	// KeySource says where published keys come from, for schemes that fetch them.
	KeySource *KeySource `json:"key_source,omitempty" yaml:"key_source"`
	// Signature says where the signature (or token) is and how it is written.
	Signature Signature `json:"signature,omitzero" yaml:"signature"`
	// Signed are templates of the signed content; a request is genuine if the signature fits any of them. Sign takes the first of which a request has all values that
	// it names outside of sections. Default: "{body}".
	Signed []string `json:"signed,omitempty" yaml:"signed"`
	// BodyASCIIEscape tries the body a second time with every non-ASCII character as \uXXXX, for providers that sign it so.
	BodyASCIIEscape bool `json:"body_ascii_escape,omitempty" yaml:"body_ascii_escape"`
	// MessageID is an expression for the message id that {id} stands for in Signed. Signing writes it where its first alternative reads
	// it, and at the others that go with a signature which the request has.
	MessageID string `json:"message_id,omitempty" yaml:"message_id"`
	// Timestamp says where the time of signing is and how far it may be off.
	Timestamp Timestamp `json:"timestamp,omitzero" yaml:"timestamp"`
	// URLVariants are other spellings of {url} to try: port, no_port, decoded, delimiters_decoded, encoded, no_query, slash, no_slash, http, https.
	URLVariants []string `json:"url_variants,omitempty" yaml:"url_variants"`
	// JWT holds what only the jwt and jws schemes need.
	JWT *JWT `json:"jwt,omitempty" yaml:"jwt"`
	// Params are values besides the secret that the configuration must or may give: {param.name} in templates, param:name in expressions.
	Params []Param `json:"params,omitempty" yaml:"params"`
	// Values are the values of Params, by name. They may be secret: see [Spec.Redacted].
	Values map[string]string `json:"values,omitempty" yaml:"values"`
	// Checks must hold for a genuine request: claims, topics, headers that agree with the body.
	Checks []Check `json:"checks,omitempty" yaml:"checks"`

	// Methods are the HTTP methods of deliveries; handshakes bring their own. Default: POST.
	Methods []string `json:"methods,omitempty" yaml:"methods"`
	// Body lists what a body may be: json, form, xml, jwt, text or empty; a body that is none of them is unreadable. Default: anything.
	Body []string `json:"body,omitempty" yaml:"body"`
	// Event names the event of a request.
	Event Event `json:"event,omitzero" yaml:"event"`
	// Batch says how a request that carries several events is taken apart.
	Batch *Batch `json:"batch,omitempty" yaml:"batch"`
	// Dedup says which events are the same.
	Dedup Dedup `json:"dedup,omitzero" yaml:"dedup"`

	// Deadline is within what the provider wants its answer. Default: 10 s.
	Deadline Duration `json:"deadline,omitempty" yaml:"deadline"`
	// Ack is the answer to an accepted event.
	Ack Ack `json:"ack,omitzero" yaml:"ack"`
	// RefuseStatus answers a request that does not verify. Default: 401.
	RefuseStatus int `json:"refuse_status,omitempty" yaml:"refuse_status"`
	// Handshakes are questions the provider asks; the first that matches is answered.
	Handshakes []Handshake `json:"handshakes,omitempty" yaml:"handshakes"`
	// RetryHorizon is for how long the provider retries a delivery. Zero: unknown.
	RetryHorizon Duration `json:"retry_horizon,omitempty" yaml:"retry_horizon"`
	// Retries describes the provider's retries for people.
	Retries string `json:"retries,omitempty" yaml:"retries"`

	// Examples are realistic requests for the test sender, the most usual event first.
	Examples []Example `json:"examples,omitempty" yaml:"examples"`
	// Vectors are requests that must verify.
	Vectors []Vector `json:"vectors,omitempty" yaml:"vectors"`
}

// Event holds the expressions that name an event. An empty result falls back: ID to a hash of the body, the others to nothing.
type Event struct {
	// ID is stable over the provider's retries of one event.
	ID string `json:"id,omitempty" yaml:"id"`
	// Type is the provider's own name of the kind of event, verbatim.
	Type string `json:"type,omitempty" yaml:"type"`
	// DefaultType is the type when Type finds none: providers that send only one kind.
	DefaultType string `json:"default_type,omitempty" yaml:"default_type"`
	// Time is when it happened.
	Time string `json:"time,omitempty" yaml:"time"`
	// TimeUnit is how Time is written: unix, unix_ms, rfc3339, rfc3339_no_zone, http_date or auto (default).
	TimeUnit string `json:"time_unit,omitempty" yaml:"time_unit"`
	// Subject is what the event is about: the id of the object.
	Subject string `json:"subject,omitempty" yaml:"subject"`
}

// Batch takes a request apart. Expressions of its Event and Dedup that begin with json: read the element; all others read the request.
type Batch struct {
	// From is an expression for the JSON text that holds the array (a form's field). Default: the body.
	From string `json:"from,omitempty" yaml:"from"`
	// Elements is the JSON path of the array; "@this" if the text is the array. A text that is an object then, not an array, is one event.
	Elements string `json:"elements,omitempty" yaml:"elements"`
	// Default says whether a batch is split unless the configuration says otherwise.
	Default bool `json:"default,omitempty" yaml:"default"`
	// Max is the most elements accepted in one request. Default: 10000.
	Max int `json:"max,omitempty" yaml:"max"`
	// Event names an element. Fields left empty are taken from the provider's Event.
	Event Event `json:"event,omitzero" yaml:"event"`
	// Dedup is the key of an element. Default: its ID.
	Dedup string `json:"dedup,omitempty" yaml:"dedup"`
}

// Dedup says which events are the same event.
type Dedup struct {
	// Key is an expression; several terms make a composite key. Default: the event's ID, with the hash of the body where the ID is read from a header or a query
	// that the signature does not cover. A Key is taken as it is.
	Key string `json:"key,omitempty" yaml:"key"`
	// Whole says that Key (of a Batch its Dedup) counts only where every place that it reads has a value: the first of its alternatives for which that holds.
	// A delivery without one carries nothing that tells a retry from a new event, and is never taken for a duplicate.
	Whole bool `json:"whole,omitempty" yaml:"whole"`
	// Off says that deliveries carry nothing that tells a retry from a new event: none is ever taken for a duplicate.
	Off bool `json:"off,omitempty" yaml:"off"`
	// Window is for how long a key is remembered. Default: the provider's retry horizon, or 72 h where that is unknown or shorter than 24 h.
	Window Duration `json:"window,omitempty" yaml:"window"`
}

// Ack is the answer to an accepted event.
type Ack struct {
	// Status is a 2xx. Default: 200.
	Status int `json:"status,omitempty" yaml:"status"`
	// Body is sent verbatim. Default: none.
	Body string `json:"body,omitempty" yaml:"body"`
	// ContentType is the body's. Default: text/plain; charset=utf-8 where there is a body.
	ContentType string `json:"content_type,omitempty" yaml:"content_type"`
	// Headers are set on the answer.
	Headers map[string]string `json:"headers,omitempty" yaml:"headers"`
	// Empty says that the provider takes a body for a failure: a configuration must not set one.
	Empty bool `json:"empty,omitempty" yaml:"empty"`
	// NoCookies says that the provider takes a cookie for a failure.
	NoCookies bool `json:"no_cookies,omitempty" yaml:"no_cookies"`
}

// Handshake is a question the provider asks of an endpoint and how it is answered. It never becomes an event.
type Handshake struct {
	// Name says what it is, for logs.
	Name string `json:"name,omitempty" yaml:"name"`
	// Methods it is asked with. Default: POST.
	Methods []string `json:"methods,omitempty" yaml:"methods"`
	// Match tells it from a delivery: all must hold. Empty: the method alone tells.
	Match []Check `json:"match,omitempty" yaml:"match"`
	// Signed handshakes are answered only after they verified as a delivery does; the others before.
	Signed bool `json:"signed,omitempty" yaml:"signed"`
	// Require must hold as well, else the handshake is refused like a bad signature (a verify token that must agree).
	Require []Check `json:"require,omitempty" yaml:"require"`
	// Status of the answer. Default: 200.
	Status int `json:"status,omitempty" yaml:"status"`
	// ContentType of the answer. Default: text/plain; charset=utf-8 where there is a body.
	ContentType string `json:"content_type,omitempty" yaml:"content_type"`
	// Headers of the answer; the values are templates.
	Headers map[string]string `json:"headers,omitempty" yaml:"headers"`
	// Body of the answer: a template; write {json.challenge>json} where JSON needs a string.
	Body string `json:"body,omitempty" yaml:"body"`
	// StoreSecret is an expression: its value becomes a live secret of the source.
	StoreSecret string `json:"store_secret,omitempty" yaml:"store_secret"`
	// Surface is an expression: its value must be shown to the operator.
	Surface string `json:"surface,omitempty" yaml:"surface"`
	// Visit is an expression: an https address that must be fetched to confirm.
	Visit string `json:"visit,omitempty" yaml:"visit"`
	// VisitHosts are the only hosts Visit may name (see [KeySource] for patterns). Required with Visit.
	VisitHosts []string `json:"visit_hosts,omitempty" yaml:"visit_hosts"`
	// Vectors are requests with the answers they must get.
	Vectors []HandshakeVector `json:"vectors,omitempty" yaml:"vectors"`
}
