package badgerstore

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sluice-webhooks/sluice/queue"
)

const (
	bucketFilter = 512 << 10 // bytes of the filter of a bucket that is full
	bucketClaims = 340_000   // that fit it. A bucket of so many is followed by another one

	// A bucket that there may be no memory for, of its index or its filter, has a row for each claim and grows for as long as that is so. Each event costs a look-up in it.
	bucketMemory = filterLimit - 2*bucketFilter
	mostBuckets  = filterLimit / bucketFilter
)

// bucketRow is what is kept of a bucket.
type bucketRow struct {
	until int64 // end of its last claim
	form  claimForm
	pages uint32 // of formPages
}

// claimForm is how the claims of a bucket are kept.
type claimForm byte

const (
	formRows claimForm = iota // a row for each, as in earlier versions
	formLog
	formPages
)

func (r bucketRow) encode() []byte {
	e := encoder{}
	e.int(r.until)
	if r.form != formRows {
		e.byte(byte(r.form))
		e.uint(uint64(r.pages))
	}
	return e.b
}

func decodeBucketRow(value []byte) (bucketRow, error) {
	d := decoder{b: value}
	r := bucketRow{until: d.int()}
	if len(d.b) > 0 {
		r.form, r.pages = claimForm(d.byte()), uint32(d.uint())
	}
	if d.bad || r.form > formPages || (r.form == formPages) != (r.pages > 0) {
		return bucketRow{}, queue.ErrDamaged
	}
	return r, nil
}

// claimBuckets are the buckets that have claims, newest first. The slice is replaced, never changed.
type claimBuckets struct {
	mu      sync.Mutex // of those who replace it
	list    atomic.Pointer[[]claimBucket]
	filters atomic.Int64 // bytes of all filters
	most    int64        // claims of a bucket that is followed by another one
}

type claimBucket struct {
	number uint32
	until  int64        // end of its last claim
	log    *claimLog    // nil: its claims are not in one (any more)
	pages  uint32       // 0: they are not in pages
	filter *claimFilter // nil beside a log
}

// mayHold returns false if the database surely holds no claim of the bucket with the hash.
func (b *claimBucket) mayHold(hash *[16]byte) bool {
	if b.log == nil {
		return b.filter.mayHold(hash)
	}
	_, ok := b.log.find(hash)
	return ok
}

func (c *claimBuckets) all() []claimBucket {
	if l := c.list.Load(); l != nil {
		return *l
	}
	return nil
}

// ended returns a bucket whose claims have all ended; false if there is none. Claims on their way to Badger have an hour to get there, and the newest bucket, which
// gets claims all day, has a day.
func (c *claimBuckets) ended(now int64) (uint32, bool) {
	for i, b := range slices.Backward(c.all()) {
		margin := hour
		if i == 0 {
			margin = day
		}
		if b.until+margin < now && (i == 0 || b.log == nil) {
			return b.number, true
		}
	}
	return 0, false
}

const (
	day  = int64(24 * 3600 * 1e9)
	hour = int64(3600 * 1e9)
)

// roundUntil is how exactly the end of a bucket's claims is noted.
func roundUntil(until int64) int64 { return until - until%hour + hour }

// note takes in a claim that is about to be made on a day, and gives it its bucket.
func (c *claimBuckets) note(day uint32, claim *dedupClaim) {
	claim.bucket = c.bucketFor(day)
	b := c.extend(claim.bucket, claim.until)
	if claim.log = b.log; b.log != nil {
		b.log.given.Add(1)
		return
	}
	b.filter.add(&claim.hash, &c.filters)
}

// bucketFor returns the bucket for new claims of a day: the newest one, or a new one if that is of an earlier day, full, or final. No other bucket gets claims
// any more, wherever the clock goes.
func (c *claimBuckets) bucketFor(day uint32) uint32 {
	list := c.all()
	if len(list) == 0 || list[0].number < firstBucket(day) {
		return firstBucket(day)
	}
	newest := list[0]
	var full bool
	switch f := newest.filter; {
	case newest.log != nil:
		_, behind := c.unsealed()
		full = newest.log.given.Load() >= c.most && !behind
	case f.final.Load():
		full = true
	default:
		full = f.claims.Load() >= c.most && f.given() && c.filters.Load() <= bucketMemory
	}
	if full {
		return newest.number + 1
	}
	return newest.number
}

// roomy reports whether there is memory for one more bucket.
func (c *claimBuckets) roomy() bool {
	return len(c.all()) < mostBuckets && c.filters.Load() <= bucketMemory
}

// extend sees to it that a bucket is known to have claims that end then, and returns it.
func (c *claimBuckets) extend(number uint32, until int64) claimBucket {
	until = roundUntil(until)
	for _, b := range c.all() {
		if b.number == number && b.until >= until {
			return b
		}
	}
	return c.change(number, func(b *claimBucket) {
		b.until = max(b.until, until)
		switch {
		case b.log != nil || b.filter != nil:
		case c.roomy():
			b.log = newClaimLog(number, 0)
		default:
			b.filter = newClaimFilter(0)
		}
	})
}

// restore takes in a bucket from before the store was opened. row is the first that a log may write.
func (c *claimBuckets) restore(number uint32, r bucketRow, row uint32) {
	c.change(number, func(b *claimBucket) {
		b.until, b.pages = r.until, r.pages
		if r.form == formLog {
			b.log = newClaimLog(number, row)
			return
		}
		b.filter = newClaimFilter(0)
		b.filter.final.Store(r.form == formPages)
	})
}

// unsealed returns the bucket that gets no more claims and is still a log; false if there is none.
func (c *claimBuckets) unsealed() (claimBucket, bool) {
	for i, b := range slices.Backward(c.all()) {
		if i > 0 && b.log != nil {
			return b, true
		}
	}
	return claimBucket{}, false
}

// seal notes that the claims of a bucket are in pages.
func (c *claimBuckets) seal(number, pages uint32, f *claimFilter) {
	c.change(number, func(b *claimBucket) { b.log, b.pages, b.filter = nil, pages, f })
}

// change lets fn change a bucket, which it makes if there is none with the number.
func (c *claimBuckets) change(number uint32, fn func(b *claimBucket)) claimBucket {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := slices.Clone(c.all())
	at := slices.IndexFunc(list, func(b claimBucket) bool { return b.number <= number })
	if at < 0 {
		at = len(list)
	}
	if at == len(list) || list[at].number != number {
		list = slices.Insert(list, at, claimBucket{number: number})
	}
	fn(&list[at])
	c.list.Store(&list)
	return list[at]
}

func (c *claimBuckets) remove(number uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := slices.DeleteFunc(slices.Clone(c.all()), func(b claimBucket) bool {
		if b.number == number && b.filter != nil {
			b.filter.mu.Lock()
			defer b.filter.mu.Unlock()
			b.filter.drop(&c.filters)
		}
		return b.number == number
	})
	c.list.Store(&list)
}
