package dragon

// Brand is who made the firmware: the title of the dragon's start page.
type Brand string

// The brands that are dragons.
const (
	DragonMint Brand = "DragonMint" // Halong; Innosilicon before 2018-05-19
	InnoMiner  Brand = "InnoMiner"  // Innosilicon 2018-05-19 to 2018-07-04
	AsicMiner  Brand = "AsicMiner"  // Innosilicon since 2018-07-04
)

// Overview is the identity and the system of a dragon: /api/overview. It answers
// also while the mining process does not.
type Overview struct {
	Answer

	Model     string // type, upper case as reported, e.g. T1, A8+; may be empty
	MAC       string // version.ethaddr, lower case without spaces; empty if unreadable
	HWVersion string // version.hwver: g19, soc, g9
	Firmware  string // version.platform_v, e.g. t1_20180515_060842
	BuildDate string // version.build_date as reported

	Network Network

	Uptime      Number // seconds since the system booted, from hardware.status
	Load1       Number
	MemoryUsed  Number // bytes
	MemoryFree  Number // bytes
	MemoryTotal Number // bytes
	CacheUsed   Number // bytes
	CacheFree   Number // bytes
	CacheTotal  Number // bytes

	Unreadable []string // as in Summary
}

// Network is a dragon's network configuration.
type Network struct {
	DHCP      bool   // dhcp == "dhcp"
	IPAddress string // ipaddress
	Netmask   string
	Gateway   string
	DNS       []string // dns1, dns2, without empty ones
}
