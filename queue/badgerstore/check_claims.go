package badgerstore

import "github.com/sluice-webhooks/sluice/queue"

// loggedClaims reads a row of a bucket's log. What is left of one that was sealed before a crash is nobody's.
func (c *checker) loggedClaims(key, value []byte) error {
	if len(key) != 9 {
		return queue.ErrDamaged
	}
	n := uint64(0)
	if !eachClaim(value, func(*loggedClaim) { n++ }) {
		return queue.ErrDamaged
	}
	if c.applied.buckets[be.Uint32(key[1:])].form == formLog {
		c.report.Claims += n
	}
	return nil
}

// pagedClaims reads a row of a page. Those of a bucket that is not sealed yet are nobody's.
func (c *checker) pagedClaims(key, value []byte) error {
	if len(key) != 10 {
		return queue.ErrDamaged
	}
	bucket, page, n := c.applied.buckets[be.Uint32(key[1:])], be.Uint32(key[5:]), uint64(0)
	here := true
	if !eachClaim(value, func(l *loggedClaim) {
		n++
		here = here && (bucket.form != formPages || pageOf(&l.hash, bucket.pages) == page)
	}) || !here {
		return queue.ErrDamaged
	}
	if bucket.form == formPages {
		c.report.Claims += n
	}
	return nil
}
