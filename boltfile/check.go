package boltfile

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"

	"go.etcd.io/bbolt"
)

// The format of bbolt. A file is a row of pages of one size; numbers have the byte order of the machine.
//
//	meta      pages 0 and 1, of which one stays valid while the other is written. The later transaction counts.
//	freelist  the pages that nothing uses
//	branch    keys in order, each with the page below that begins with it
//	leaf      keys in order, each with a value, which may be a bucket: the page of its root and a sequence. A small bucket has
//	          0 for its root, and a leaf page follows that contains no bucket.
//
// A page begins with its number (8 bytes), kind (2), count of elements (2) and how many of the next pages continue it (4).
// An element of a branch is position (4), size of the key (4) and page (8); one of a leaf is flags (4), position (4), size of the
// key (4) and of the value (4). A position counts from where its element begins. After the elements come the keys, each with
// its value, without a gap.
const (
	metaMagic   = 0xED0CDAED
	metaVersion = 2
	metaSize    = 64
	metaSum     = 56 // where the checksum of the bytes before it is

	pageHeader   = 16
	elementSize  = 16
	bucketHeader = 16

	branchPage   = 0x01
	leafPage     = 0x02
	freelistPage = 0x10
	bucketFlag   = 0x01
	longFreelist = 0xFFFF // a freelist of that count has the real one before its pages

	minPageSize = 1 << 10
	maxPageSize = 1 << 16
	maxDepth    = 64 // pages on the way to a leaf: no real file comes near it
)

var native = binary.NativeEndian

// check returns an error that wraps ErrDamaged unless all that bbolt can reach is well formed. bbolt follows what a page says
// to any address: its panics and faults are guarded, but a bad pointer that the garbage collector meets, or an allocation of
// any size, ends the process. What bbolt would only trip over when it writes is refused, too. Of each page the beginning is
// read and all keys, of values only buckets.
func check(file io.ReaderAt, size int64) error {
	return guarded(func() error {
		c := &checker{file: file, meta: chooseMeta(file)}
		if has := uint64(size / c.pageSize); c.pages > has {
			panic(fmt.Sprintf("it has %d of its %d pages", has, c.pages))
		}
		c.used = make([]uint64, c.pages/64+1)
		c.use(0)
		c.use(1)
		c.checkFreelist()
		c.checkTree(c.page(c.root, 0), nil, nil)
		return nil
	})
}

// fail ends the check; guarded makes it ErrDamaged.
func fail(page uint64, format string, args ...any) {
	panic(fmt.Sprintf("page %d: ", page) + fmt.Sprintf(format, args...))
}

type meta struct {
	pageSize                           int64
	root, freelist, pages, transaction uint64
}

func readMeta(file io.ReaderAt, at int64) (m meta, valid bool) {
	b := make([]byte, metaSize)
	if _, err := file.ReadAt(b, at+pageHeader); err != nil {
		return m, false
	}
	sum := fnv.New64a()
	_, _ = sum.Write(b[:metaSum])
	m = meta{int64(native.Uint32(b[8:])), native.Uint64(b[16:]), native.Uint64(b[32:]), native.Uint64(b[40:]), native.Uint64(b[48:])}
	return m, native.Uint32(b) == metaMagic && native.Uint32(b[4:]) == metaVersion && native.Uint64(b[metaSum:]) == sum.Sum64()
}

// chooseMeta returns the meta page that bbolt chooses. If the first is not valid, the place of the second is the page size.
func chooseMeta(file io.ReaderAt) meta {
	m, valid := readMeta(file, 0)
	for size := int64(minPageSize); size <= maxPageSize && !valid; size *= 2 {
		m, valid = readMeta(file, size)
		valid = valid && m.pageSize == size
	}
	if size := m.pageSize; !valid || size < minPageSize || size > maxPageSize || size&(size-1) != 0 {
		panic("pages 0 and 1: none is a valid meta page")
	}
	if second, valid := readMeta(file, m.pageSize); valid && second.transaction > m.transaction {
		if second.pageSize != m.pageSize {
			fail(1, "its page size is %d, that of page 0 is %d", second.pageSize, m.pageSize)
		}
		return second
	}
	return m
}

type checker struct {
	meta
	file  io.ReaderAt
	used  []uint64         // a bit for each page
	heads [maxDepth][]byte // memory for the first page of each on the way to a leaf
}

// use marks a page, which may be used once.
func (c *checker) use(id uint64) {
	if id >= c.pages {
		fail(id, "it is used, and the file has %d pages", c.pages)
	}
	if c.used[id/64]>>(id%64)&1 == 1 {
		fail(id, "it is used twice")
	}
	c.used[id/64] |= 1 << (id % 64)
}

// page is a page with those that continue it, or the one in a bucket's value.
type page struct {
	id       uint64 // of one in a value: of the page around it
	inValue  bool
	depth    int
	kind     uint16
	count    int64
	at, size int64
	head     []byte // what is in memory: the first page, all of a value
}

func (c *checker) page(id uint64, depth int) *page {
	c.use(id)
	if depth == maxDepth {
		fail(id, "it has %d pages above it", depth)
	}
	if c.heads[depth] == nil {
		c.heads[depth] = make([]byte, c.pageSize)
	}
	b := c.heads[depth]
	p := &page{id: id, depth: depth, at: int64(id) * c.pageSize, head: b}
	c.read(p, 0, b)
	if number := native.Uint64(b); number != id {
		fail(id, "its number is %d", number)
	}
	p.kind, p.count = native.Uint16(b[8:]), int64(native.Uint16(b[10:]))
	overflow := uint64(native.Uint32(b[12:]))
	if overflow >= c.pages-id {
		fail(id, "%d pages continue it, and the file has %d pages", overflow, c.pages)
	}
	for n := range overflow {
		c.use(id + 1 + n)
	}
	p.size = int64(1+overflow) * c.pageSize
	return p
}

func (c *checker) read(p *page, at int64, b []byte) {
	if _, err := c.file.ReadAt(b, p.at+at); err != nil {
		fail(p.id, "%v", err)
	}
}

// bytes returns a part of the page that is within its size.
func (c *checker) bytes(p *page, at, size int64) []byte {
	if at+size <= int64(len(p.head)) {
		return p.head[at : at+size]
	}
	b := make([]byte, size)
	c.read(p, at, b)
	return b
}

func (c *checker) checkFreelist() {
	p := c.page(c.freelist, 0)
	at, count := int64(pageHeader), uint64(p.count)
	if count == longFreelist {
		at, count = at+8, native.Uint64(p.head[at:])
	}
	if p.kind != freelistPage || count > uint64(p.size-at)/8 {
		fail(p.id, "it is no freelist: kind %#x, %d free pages in %d bytes", p.kind, count, p.size)
	}
	list := bufio.NewReader(io.NewSectionReader(c.file, p.at+at, int64(count)*8))
	id := make([]byte, 8)
	for range count {
		if _, err := io.ReadFull(list, id); err != nil {
			fail(p.id, "%v", err)
		}
		c.use(native.Uint64(id))
	}
}

// checkTree checks a page and what is below it, whose keys begin with low and end before high. A root has no low, and the last
// pages have no high. It returns how many pages are below, which is the same everywhere: bbolt joins pages that are side by side.
func (c *checker) checkTree(p *page, low, high []byte) (height int) {
	end := pageHeader + p.count*elementSize
	if p.kind != branchPage && p.kind != leafPage || end > p.size {
		fail(p.id, "it is no branch or leaf: kind %#x, %d elements in %d bytes", p.kind, p.count, p.size)
	}
	if p.count == 0 {
		if p.kind == branchPage || low != nil {
			fail(p.id, "it is empty")
		}
		return 0
	}
	next := c.element(p, 0, end)
	for n := range p.count {
		e, limit := next, high
		if n+1 < p.count {
			next = c.element(p, n+1, e.end)
			limit = next.key
		}
		if n == 0 && low != nil && !bytes.Equal(e.key, low) || limit != nil && bytes.Compare(e.key, limit) >= 0 {
			fail(p.id, "the key of element %d is out of order", n)
		}
		below := 0
		if p.kind == branchPage {
			below = 1 + c.checkTree(c.page(e.page, p.depth+1), e.key, limit)
		} else if e.flags == bucketFlag {
			c.checkBucket(p, e)
		}
		if n > 0 && below != height {
			fail(p.id, "below element %d are %d pages, and %d elsewhere", n, below, height)
		}
		height = below
	}
	return height
}

type element struct {
	n          int64
	key        []byte
	page       uint64 // of a branch
	flags      uint32 // of a leaf
	value, end int64  // of a leaf: where the value begins and ends
}

// element reads an element, whose key is to begin at the place.
func (c *checker) element(p *page, n, place int64) element {
	e := element{n: n}
	at := pageHeader + n*elementSize
	b := c.bytes(p, at, elementSize)
	var position, key, value uint32
	if p.kind == branchPage {
		position, key, e.page = native.Uint32(b), native.Uint32(b[4:]), native.Uint64(b[8:])
	} else {
		e.flags, position, key, value = native.Uint32(b), native.Uint32(b[4:]), native.Uint32(b[8:]), native.Uint32(b[12:])
	}
	e.value = place + int64(key)
	e.end = e.value + int64(value)
	if at+int64(position) != place || key == 0 || key > bbolt.MaxKeySize || e.end > p.size || e.flags|bucketFlag != bucketFlag {
		fail(p.id, "element %d has flags %#x and %d+%d bytes at %d, and is to be at %d of %d",
			n, e.flags, key, value, at+int64(position), place, p.size)
	}
	e.key = c.bytes(p, place, int64(key))
	return e
}

// checkBucket checks the bucket that is the value of a leaf's element.
func (c *checker) checkBucket(p *page, e element) {
	size := e.end - e.value
	if size < bucketHeader || size > c.pageSize || p.inValue {
		fail(p.id, "element %d is a bucket of %d bytes", e.n, size)
	}
	b := c.bytes(p, e.value, size)
	if root := native.Uint64(b); root != 0 {
		c.checkTree(c.page(root, p.depth+1), nil, nil)
		return
	}
	if b = b[bucketHeader:]; len(b) < pageHeader || native.Uint64(b) != 0 || native.Uint16(b[8:]) != leafPage || native.Uint32(b[12:]) != 0 {
		fail(p.id, "the bucket of element %d holds no leaf", e.n)
	}
	leaf := &page{id: p.id, inValue: true, depth: p.depth, kind: leafPage, count: int64(native.Uint16(b[10:])), size: int64(len(b)), head: b}
	c.checkTree(leaf, nil, nil)
}
