package verifiers

import "slices"

// usualContents are what providers sign, most usual first.
var usualContents = []string{
	"{body}", "{timestamp}.{body}", "{timestamp}{body}", "{timestamp}:{body}", "v0:{timestamp}:{body}", "v1:{timestamp}:{body}", "{body}{timestamp}", "{body}.{timestamp}",
	"{id}.{timestamp}.{body}", "{id}{timestamp}{body}", "{id}.{body}", "{url}{body}", "{body}{url}", "{method}{url}{body}", "{method}{path}{body}", "{timestamp}{method}{path}{body}",
	"{url}{form_sorted}", "{body>sha256>hex}", "{timestamp}.{body>sha256>hex}",
}

// schemes tries other hashes, encodings and contents: a provider's new version, or a mistake in a user's own description of one.
func (d *diagnostician) schemes() {
	spec := d.p.spec
	if spec.Scheme != SchemeHMAC || spec.Custom != "" || d.p.sig.place == placeRaw {
		return
	}
	for _, algorithm := range []string{"sha1", "sha256", "sha384", "sha512", "md5"} {
		if algorithm != spec.Algorithm && d.tries(&Spec{Algorithm: algorithm}) {
			d.found("algorithm", true, "right with algorithm %s", algorithm)
		}
	}
	for _, encoding := range []string{"hex", "base64", "base64url"} {
		if encoding != d.p.signatureEncoding() && d.tries(&Spec{Signature: Signature{Encoding: encoding}}) {
			d.found("encoding", true, "right with the signature read as %s", encoding)
		}
	}
	for _, content := range usualContents {
		if d.exhausted() {
			return
		}
		if !slices.Contains(spec.Signed, content) && d.tries(&Spec{Signed: []string{content}}) {
			d.found("signed_content", true, "right with signed %s", content)
		}
	}
}

func (d *diagnostician) tries(override *Spec) bool {
	p := d.variant(override)
	return p != nil && d.genuine(p, d.r, d.secrets)
}
