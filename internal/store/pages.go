package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"math/bits"
)

// bbolt trusts its file: a child pointer to its parent makes it loop forever, and it
// cannot be interrupted. So this file reads the format itself (bbolt 1.x, file version 2),
// and bbolt only opens files that this process wrote. Each page is read once and checked
// before use.
const (
	boltMagic   = 0xED0CDAED
	boltVersion = 2

	pageHeader    = 16 // id uint64, flags uint16, count uint16, overflow uint32
	metaSize      = 64 // after the header
	metaSummed    = 56 // of those, what the checksum covers
	branchElement = 16 // position and key size uint32, page uint64
	leafElement   = 16 // flags, position, key size and value size uint32
	bucketHeader  = 16 // root page and sequence uint64; root 0: the page follows inline

	branchFlag = 1
	leafFlag   = 2
	bucketFlag = 1 // of a leaf's element

	deepest = 16       // levels of a tree; 10,000 dragons have 3
	largest = 96 << 20 // bytes that are read of a file; 10,000 dragons have 20 MB at most
)

var order = binary.NativeEndian // bbolt writes the host's

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

// boltFile is a bbolt file that is being read.
type boltFile struct {
	file     io.ReaderAt
	size     int64
	pageSize uint64
	pages    uint64 // in use
	root     uint64
	seen     []bool // pages that were read
	left     uint64 // bytes that may still be read
}

// readBolt returns the content of all buckets of a bbolt file. Its memory is bounded by
// the file's size, and by largest. An error of the disk is returned as it is, all else is ErrCorrupt.
func readBolt(f io.ReaderAt, size int64) (map[string]map[string][]byte, error) {
	b := &boltFile{file: f, size: size, left: largest}
	if err := b.readMeta(); err != nil {
		return nil, err
	}
	b.seen = make([]bool, b.pages)
	buckets := make(map[string]map[string][]byte)
	err := b.walk(b.root, func(flags uint32, name, value []byte) error {
		if flags != bucketFlag {
			return corrupt("a value outside of a bucket")
		}
		content := make(map[string][]byte)
		buckets[string(name)] = content
		return b.walkBucket(value, func(flags uint32, key, value []byte) error {
			if flags != 0 {
				return corrupt("a bucket in bucket %q", name)
			}
			content[string(key)] = value
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return buckets, nil
}

// meta is one of the two pages that say where the tree begins. bbolt writes them in turn.
type meta struct{ pageSize, root, pages, transaction uint64 }

func (b *boltFile) metaAt(page, pageSize uint64) (m meta, err error) {
	data := make([]byte, pageHeader+metaSize)
	if err := b.readAt(data, page*pageSize); err != nil {
		return m, err
	}
	sum := fnv.New64a()
	body := data[pageHeader:]
	_, _ = sum.Write(body[:metaSummed])
	switch {
	case order.Uint32(body) != boltMagic:
		return m, corrupt("meta page %d: not a bbolt file", page)
	case order.Uint32(body[4:]) != boltVersion:
		return m, corrupt("meta page %d: bbolt version %d, expected %d", page, order.Uint32(body[4:]), boltVersion)
	case order.Uint64(body[56:]) != sum.Sum64():
		return m, corrupt("meta page %d: its checksum is wrong", page)
	}
	return meta{uint64(order.Uint32(body[8:])), order.Uint64(body[16:]), order.Uint64(body[40:]), order.Uint64(body[48:])}, nil
}

// readMeta takes the newer one of the two meta pages. Both must be valid: with a damaged
// one bbolt would continue with the state before the last commit.
func (b *boltFile) readMeta() error {
	first, err := b.metaAt(0, 0)
	if err != nil {
		return err
	}
	b.pageSize = first.pageSize
	if b.pageSize < 512 || b.pageSize > 64<<10 || bits.OnesCount64(b.pageSize) != 1 {
		return corrupt("pages of %d bytes", b.pageSize)
	}
	second, err := b.metaAt(1, b.pageSize)
	if err != nil {
		return err
	}
	if second.pageSize != first.pageSize || first.transaction%2 != 0 || first.transaction+1 != second.transaction && second.transaction+1 != first.transaction {
		return corrupt("its meta pages do not belong together")
	}
	newer := first
	if second.transaction > first.transaction {
		newer = second
	}
	b.root, b.pages = newer.root, newer.pages
	if b.pages > uint64(b.size)/b.pageSize {
		return corrupt("%d bytes, expected at least %d pages of %d", b.size, b.pages, b.pageSize)
	}
	return nil
}

func (b *boltFile) readAt(data []byte, at uint64) error {
	if at > uint64(b.size) || uint64(b.size)-at < uint64(len(data)) {
		return corrupt("%d bytes, expected %d at %d", b.size, len(data), at)
	}
	if uint64(len(data)) > b.left {
		return corrupt("more than %d bytes", largest)
	}
	b.left -= uint64(len(data))
	_, err := b.file.ReadAt(data, int64(at))
	return err
}

// page reads a page with its overflow pages, once.
func (b *boltFile) page(id uint64) ([]byte, error) {
	if id < 2 || id >= b.pages {
		return nil, corrupt("page %d of %d", id, b.pages)
	}
	head := make([]byte, pageHeader)
	if err := b.readAt(head, id*b.pageSize); err != nil {
		return nil, err
	}
	n := uint64(order.Uint32(head[12:])) + 1
	if n > b.pages-id {
		return nil, corrupt("page %d: %d more pages, and there are %d", id, n-1, b.pages)
	}
	for i := id; i < id+n; i++ {
		if b.seen[i] {
			return nil, corrupt("page %d: in use twice", i)
		}
		b.seen[i] = true
	}
	if got := order.Uint64(head); got != id {
		return nil, corrupt("page %d: it says that it is %d", id, got)
	}
	data := make([]byte, n*b.pageSize)
	return data, b.readAt(data, id*b.pageSize)
}

type visit func(flags uint32, key, value []byte) error

// walk calls visit with each element of the tree that begins at a page, by key.
func (b *boltFile) walk(root uint64, visit visit) error {
	var last []byte
	ascending := func(flags uint32, key, value []byte) error {
		if len(key) == 0 || last != nil && bytes.Compare(key, last) <= 0 {
			return corrupt("the keys are not in their order")
		}
		last = key
		return visit(flags, key, value)
	}
	return b.descend(root, 0, ascending)
}

func (b *boltFile) descend(id uint64, depth int, visit visit) error {
	if depth >= deepest {
		return corrupt("more than %d levels", deepest)
	}
	data, err := b.page(id)
	if err != nil {
		return err
	}
	if order.Uint16(data[8:]) != branchFlag {
		return leaf(data, visit)
	}
	count := int(order.Uint16(data[10:]))
	if count == 0 || pageHeader+count*branchElement > len(data) {
		return corrupt("page %d: %d children", id, count)
	}
	for i := range count {
		child := order.Uint64(data[pageHeader+i*branchElement+8:])
		if err := b.descend(child, depth+1, visit); err != nil {
			return err
		}
	}
	return nil
}

// walkBucket walks over a bucket, which is a separate tree or one inline page.
func (b *boltFile) walkBucket(value []byte, visit visit) error {
	if len(value) < bucketHeader {
		return corrupt("a bucket of %d bytes", len(value))
	}
	if root := order.Uint64(value); root != 0 {
		return b.walk(root, visit)
	}
	if len(value) < bucketHeader+pageHeader {
		return corrupt("a bucket of %d bytes", len(value))
	}
	return leaf(value[bucketHeader:], visit)
}

func leaf(data []byte, visit visit) error {
	if flags := order.Uint16(data[8:]); flags != leafFlag {
		return corrupt("a page of kind %#x, expected a leaf", flags)
	}
	count := int(order.Uint16(data[10:]))
	if pageHeader+count*leafElement > len(data) {
		return corrupt("a leaf of %d elements in %d bytes", count, len(data))
	}
	for i := range count {
		at := uint64(pageHeader + i*leafElement)
		e := data[at:]
		from := at + uint64(order.Uint32(e[4:]))
		middle := from + uint64(order.Uint32(e[8:]))
		end := middle + uint64(order.Uint32(e[12:]))
		if end > uint64(len(data)) {
			return corrupt("an element that ends at %d of %d bytes", end, len(data))
		}
		if err := visit(order.Uint32(e), data[from:middle:middle], data[middle:end:end]); err != nil {
			return err
		}
	}
	return nil
}
