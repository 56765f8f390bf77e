package verifiers

// Key says what the configured secret is.
type Key struct {
	// Kind says in words what must be configured: "signing secret" (default), "public key", "token", "user:password", ...
	Kind string `json:"kind,omitempty" yaml:"kind"`
	// Hint says where to find it or what it looks like.
	Hint string `json:"hint,omitempty" yaml:"hint"`
	// Decode turns the secret into the key: raw (default), base64, base64url, hex, sha1 or sha256 (the raw digest of the secret).
	// Public keys are PEM, base64 of DER, or a JWK, whichever is given; for ed25519 Decode says how the 32 bytes are written.
	Decode string `json:"decode,omitempty" yaml:"decode"`
	// StripPrefix is removed from the secret before decoding if it is there ("whsec_").
	StripPrefix string `json:"strip_prefix,omitempty" yaml:"strip_prefix"`
	// StripThrough cuts the secret after the last occurrence of this text ("_" for secrets that carry a name in front).
	StripThrough string `json:"strip_through,omitempty" yaml:"strip_through"`
	// DecodePrefix makes Decode apply only to secrets that begin with it (it is removed); all others are raw.
	DecodePrefix string `json:"decode_prefix,omitempty" yaml:"decode_prefix"`
	// Split separates a key id from the key in the configured secret: "id<Split>key" at its first occurrence. The part before is {secret_id}.
	Split string `json:"split,omitempty" yaml:"split"`
	// ID is an expression for the key id that the request names. Only secrets with that id, and those configured without one, are tried.
	// A {key_id} in Signature.Format serves the same end.
	ID string `json:"id,omitempty" yaml:"id"`
}

// AlgorithmBy lets a request choose among hashes.
type AlgorithmBy struct {
	// From is the expression that reads the choice.
	From string `json:"from,omitempty" yaml:"from"`
	// Names maps what the request says to a hash. What is not in it is refused.
	Names map[string]string `json:"names,omitempty" yaml:"names"`
}

// Signature says where a signature is and how its value is written.
//
// The value is split at Separator into items. Format, split the same way, says what items look like: literal text with {signature},
// {timestamp} and {key_id}. Items are told apart by the literal text in front ("t={timestamp},v1={signature}": order does not matter, unknown items are
// skipped, v1 may appear several times); an item that has none in front is told by its position ("{timestamp},{signature}").
// Blanks around items are ignored.
type Signature struct {
	// In is the place: header (default), query, form, json, body (all of it), path (the last segment) or expr (names are expressions, for signatures inside
	// of something encoded; JSON in a form's field can be signed, all else of that kind only verified).
	In string `json:"in,omitempty" yaml:"in"`
	// Names are the header's, parameter's or field's name, or the JSON path. Several are alternatives and all are read, in order. Signing
	// writes the first, and each other one that the request has.
	// A name may contain {n}: it stands for 1, 2, 3 ... up to Numbered.
	Names []string `json:"names,omitempty" yaml:"names"`
	// Numbered is the highest {n}.
	Numbered int `json:"numbered,omitempty" yaml:"numbered"`
	// Repeatable headers may occur several times, each with a signature. Others must not.
	Repeatable bool `json:"repeatable,omitempty" yaml:"repeatable"`
	// Format is what the value looks like. Default: "{signature}".
	Format string `json:"format,omitempty" yaml:"format"`
	// Separator holds the characters at any of which the value is split. Default: the first of ",;|& " that Format has if that has more than one
	// placeholder, else the value is not split.
	Separator string `json:"separator,omitempty" yaml:"separator"`
	// PrefixOptional accepts a bare signature as well where Format puts text in front of it.
	PrefixOptional bool `json:"prefix_optional,omitempty" yaml:"prefix_optional"`
	// Encoding of the signature: hex (default), base64, base64url, or raw (jwt, jws, token). hex accepts both cases, base64 with or without padding.
	Encoding string `json:"encoding,omitempty" yaml:"encoding"`
	// Upper writes hexadecimal signatures in upper case.
	Upper bool `json:"upper,omitempty" yaml:"upper"`
	// Percent says that the value is percent-encoded on top.
	Percent bool `json:"percent,omitempty" yaml:"percent"`
	// JSONField is the field that holds the signature where the value is base64 of a JSON object.
	JSONField string `json:"json_field,omitempty" yaml:"json_field"`
	// ECDSA is how an ECDSA signature is written: der (default) or p1363.
	ECDSA string `json:"ecdsa,omitempty" yaml:"ecdsa"`
	// Legacy names other headers that may carry a signature of another kind. They are never used to verify: they only explain a refusal. Signing removes them.
	Legacy []string `json:"legacy,omitempty" yaml:"legacy"`
}

// Timestamp says where the time of signing is. The text as it came goes into the signed content, never a re-printed number.
type Timestamp struct {
	// In is the place: signature (a field of Signature.Format), header, query, form, json or claim. Empty: there is none.
	In string `json:"in,omitempty" yaml:"in"`
	// Names are alternatives as in Signature.Names; the first that is there counts. Not used for signature.
	Names []string `json:"names,omitempty" yaml:"names"`
	// Unit: unix (default), unix_ms, rfc3339, rfc3339_no_zone (UTC), http_date, or auto (by the number of digits).
	Unit string `json:"unit,omitempty" yaml:"unit"`
	// Unsigned says that the signature does not cover it: then it proves nothing and no tolerance applies.
	Unsigned bool `json:"unsigned,omitempty" yaml:"unsigned"`
	// Meaning: attempt (default), the time this delivery was signed; or event, when it happened: then retries carry an old one and no
	// tolerance applies unless one is set.
	Meaning string `json:"meaning,omitempty" yaml:"meaning"`
	// Optional accepts requests without it (the tolerance then cannot apply).
	Optional bool `json:"optional,omitempty" yaml:"optional"`
	// Past is how old it may be; Off: any age. Default: 5 m for a signed time of the attempt, else Off.
	Past *Duration `json:"past,omitempty" yaml:"past"`
	// Future is how far it may be ahead of our clock; Off: any. Default: as Past.
	Future *Duration `json:"future,omitempty" yaml:"future"`
}

// KeySource says where published keys come from. Only https addresses of the pinned hosts are ever fetched.
type KeySource struct {
	// URL is a template of the address. It may use parts of the request ({header.PAYPAL-CERT-URL}); Hosts and Path are checked before it is fetched, and it has
	// neither a query nor escapes then.
	URL string `json:"url,omitempty" yaml:"url"`
	// Hosts are the only hosts allowed, also for redirects: "api.example.com", "keys.*.example.com" (a star is within one label, as is "[a-z]", see
	// [path.Match]) or ".example.com" (any subdomain). Templates over params only are allowed. Default: the host of URL if that does not depend on the request.
	Hosts []string `json:"hosts,omitempty" yaml:"hosts"`
	// PathPrefix and PathSuffix pin the path where the request chooses it.
	PathPrefix string `json:"path_prefix,omitempty" yaml:"path_prefix"`
	PathSuffix string `json:"path_suffix,omitempty" yaml:"path_suffix"`
	// Kind of the document: jwks, certificate (PEM), pem (public key) or x509_map (JSON object of PEM certificates by key id).
	Kind string `json:"kind,omitempty" yaml:"kind"`
	// Field is the JSON path of the key where the document is a JSON object around it.
	Field string `json:"field,omitempty" yaml:"field"`
	// CommonName is the end that the subject of the certificate must have (".paypal.com").
	CommonName string `json:"common_name,omitempty" yaml:"common_name"`
	// Chain verifies the certificate up to Roots (PEM), or to the system's roots if those are empty, at the time the request arrived.
	Chain bool   `json:"chain,omitempty" yaml:"chain"`
	Roots string `json:"roots,omitempty" yaml:"roots"`
}

// JWT holds what only tokens have.
type JWT struct {
	// Algorithms allowed: HS256, RS256, PS256, ES256, EdDSA ... Required: a token never chooses its own.
	Algorithms []string `json:"algorithms,omitempty" yaml:"algorithms"`
	// Claims that must be there with this value (a template over params, {secret_id}, the id of the key that fits, and {method} or {url} with what is joined to them). For aud any element may match. "*" asks only that the claim is there.
	Claims map[string]string `json:"claims,omitempty" yaml:"claims"`
	// BodyHash is the claim that must be the hash of the body, which binds the body to the token.
	BodyHash string `json:"body_hash,omitempty" yaml:"body_hash"`
	// BodyHashAlgorithm: sha256 (default), sha1, sha384 or sha512.
	BodyHashAlgorithm string `json:"body_hash_algorithm,omitempty" yaml:"body_hash_algorithm"`
	// BodyHashEncoding: hex (default), base64 or base64url.
	BodyHashEncoding string `json:"body_hash_encoding,omitempty" yaml:"body_hash_encoding"`
	// BodyHashOptional accepts a token without the claim if the body is empty.
	BodyHashOptional bool `json:"body_hash_optional,omitempty" yaml:"body_hash_optional"`
	// Detached is a jws whose payload (Signed[0]) is not in the token.
	Detached bool `json:"detached,omitempty" yaml:"detached"`
	// Headers that the protected header must have with this value.
	Headers map[string]string `json:"headers,omitempty" yaml:"headers"`
	// JKU fetches the keys from the address in the token's own header, which must be one of these.
	JKU []string `json:"jku,omitempty" yaml:"jku"`
	// X5C verifies with the certificate chain in the token's header up to the pinned root.
	X5C *X5C `json:"x5c,omitempty" yaml:"x5c"`
	// RequireExpiry refuses tokens without exp. exp and nbf are always checked where they are, with Leeway (default 1 m).
	RequireExpiry bool     `json:"require_expiry,omitempty" yaml:"require_expiry"`
	Leeway        Duration `json:"leeway,omitempty" yaml:"leeway"`
}

// X5C pins a certificate chain.
type X5C struct {
	// Root is the pinned root certificate (PEM). A configured secret, a root as well, takes its place.
	Root string `json:"root,omitempty" yaml:"root"`
	// Length is how many certificates the header must hold, leaf first. Default: 3.
	Length int `json:"length,omitempty" yaml:"length"`
	// LeafOID and IntermediateOID are extensions that must be there.
	LeafOID         string `json:"leaf_oid,omitempty" yaml:"leaf_oid"`
	IntermediateOID string `json:"intermediate_oid,omitempty" yaml:"intermediate_oid"`
}

// Param is a value besides the secret that a configuration gives.
type Param struct {
	Name     string `json:"name,omitempty" yaml:"name"`
	Doc      string `json:"doc,omitempty" yaml:"doc"`
	Required bool   `json:"required,omitempty" yaml:"required"`
	// Secret params are masked wherever a configuration is shown.
	Secret  bool   `json:"secret,omitempty" yaml:"secret"`
	Default string `json:"default,omitempty" yaml:"default"`
}

// Check compares values of a request. Exactly one of Equals, OneOf, Prefix, Pattern, Present and Absent is set.
type Check struct {
	// Expr is the expression to check.
	Expr string `json:"expr,omitempty" yaml:"expr"`
	// Equals is an expression whose value must be the same; "literal:x" for a fixed text, "secret" for any live secret.
	Equals string `json:"equals,omitempty" yaml:"equals"`
	// OneOf are the fixed texts it may be.
	OneOf []string `json:"one_of,omitempty" yaml:"one_of"`
	// Prefix is what it must begin with.
	Prefix string `json:"prefix,omitempty" yaml:"prefix"`
	// Pattern is a regular expression (RE2) that the whole value must match.
	Pattern string `json:"pattern,omitempty" yaml:"pattern"`
	// Present and Absent ask whether there is a value.
	Present bool `json:"present,omitempty" yaml:"present"`
	Absent  bool `json:"absent,omitempty" yaml:"absent"`
	// Optional makes the check hold where Expr, or the param that Equals names, has no value.
	Optional bool `json:"optional,omitempty" yaml:"optional"`
	// Unreadable refuses with ErrUnreadable (400) instead of ErrMismatch (401). In Spec.Checks only.
	Unreadable bool `json:"unreadable,omitempty" yaml:"unreadable"`
}

// Example is a realistic request. In Body, Headers and Query {{id}}, {{uuid}}, {{unix}}, {{unix_ms}}, {{rfc3339}} and {{type}} are filled in, ids anew for each time; in
// Body {{base64 text}}, {{base64url text}} and {{form_base64 text}} wrap what they hold.
type Example struct {
	Type        string            `json:"type,omitempty" yaml:"type"`
	Method      string            `json:"method,omitempty" yaml:"method"`             // default: the first of Spec.Methods
	ContentType string            `json:"content_type,omitempty" yaml:"content_type"` // default: application/json
	Headers     map[string]string `json:"headers,omitempty" yaml:"headers"`
	Query       string            `json:"query,omitempty" yaml:"query"`
	Body        string            `json:"body,omitempty" yaml:"body"`
}

// Vector is a request that must verify at its time with its secret.
type Vector struct {
	Name   string `json:"name,omitempty" yaml:"name"`
	Source string `json:"source,omitempty" yaml:"source"`
	// Computed vectors come from the documented formula, the others from the provider itself.
	Computed bool              `json:"computed,omitempty" yaml:"computed"`
	Secret   string            `json:"secret,omitempty" yaml:"secret"`
	Params   map[string]string `json:"params,omitempty" yaml:"params"`
	Method   string            `json:"method,omitempty" yaml:"method"` // default: POST
	URL      string            `json:"url,omitempty" yaml:"url"`       // default: https://hooks.example.com/
	Headers  map[string]string `json:"headers,omitempty" yaml:"headers"`
	Body     string            `json:"body,omitempty" yaml:"body"`
	// At is when it arrived, RFC 3339. Default: the signed timestamp.
	At string `json:"at,omitempty" yaml:"at"`
	// Documents are what the key addresses answer.
	Documents map[string]string `json:"documents,omitempty" yaml:"documents"`
	// EventID, EventType and DedupKey are what the request must be identified as, where set.
	EventID   string `json:"event_id,omitempty" yaml:"event_id"`
	EventType string `json:"event_type,omitempty" yaml:"event_type"`
	DedupKey  string `json:"dedup_key,omitempty" yaml:"dedup_key"`
}

// HandshakeVector is a handshake request with the answer it must get.
type HandshakeVector struct {
	Secret      string            `json:"secret,omitempty" yaml:"secret"`
	Params      map[string]string `json:"params,omitempty" yaml:"params"`
	Method      string            `json:"method,omitempty" yaml:"method"` // default: the first of Handshake.Methods
	URL         string            `json:"url,omitempty" yaml:"url"`
	Headers     map[string]string `json:"headers,omitempty" yaml:"headers"`
	Body        string            `json:"body,omitempty" yaml:"body"`
	Status      int               `json:"status,omitempty" yaml:"status"`
	ContentType string            `json:"content_type,omitempty" yaml:"content_type"`
	Reply       string            `json:"reply,omitempty" yaml:"reply"`
	ReplyHeader map[string]string `json:"reply_header,omitempty" yaml:"reply_header"`
	StoreSecret string            `json:"store_secret,omitempty" yaml:"store_secret"`
	Surface     string            `json:"surface,omitempty" yaml:"surface"`
	Visit       string            `json:"visit,omitempty" yaml:"visit"`
}
