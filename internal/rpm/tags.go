package rpm

// The tags of the main header that this package reads (rpm's tag numbers).
const (
	tagName              = 1000
	tagVersion           = 1001
	tagRelease           = 1002
	tagEpoch             = 1003
	tagSummary           = 1004
	tagDescription       = 1005
	tagBuildTime         = 1006
	tagBuildHost         = 1007
	tagSize              = 1009
	tagVendor            = 1011
	tagLicense           = 1014
	tagPackager          = 1015
	tagGroup             = 1016
	tagURL               = 1020
	tagArch              = 1022
	tagFileSizes         = 1028
	tagFileModes         = 1030
	tagFileMtimes        = 1034
	tagFileDigests       = 1035
	tagFileLinkTos       = 1036
	tagFileFlags         = 1037
	tagFileUsers         = 1039
	tagFileGroups        = 1040
	tagSourceRPM         = 1044
	tagArchiveSize       = 1046
	tagProvideName       = 1047
	tagRequireFlags      = 1048
	tagRequireName       = 1049
	tagRequireVersion    = 1050
	tagConflictFlags     = 1053
	tagConflictName      = 1054
	tagConflictVersion   = 1055
	tagChangelogTime     = 1080
	tagChangelogName     = 1081
	tagChangelogText     = 1082
	tagObsoleteName      = 1090
	tagSourcePackage     = 1106
	tagProvideFlags      = 1112
	tagProvideVersion    = 1113
	tagObsoleteFlags     = 1114
	tagObsoleteVersion   = 1115
	tagDirIndexes        = 1116
	tagBaseNames         = 1117
	tagDirNames          = 1118
	tagLongFileSizes     = 5008
	tagLongSize          = 5009
	tagFileCaps          = 5010
	tagFileDigestAlgo    = 5011
	tagRecommendName     = 5046
	tagRecommendVersion  = 5047
	tagRecommendFlags    = 5048
	tagSuggestName       = 5049
	tagSuggestVersion    = 5050
	tagSuggestFlags      = 5051
	tagSupplementName    = 5052
	tagSupplementVersion = 5053
	tagSupplementFlags   = 5054
	tagEnhanceName       = 5055
	tagEnhanceVersion    = 5056
	tagEnhanceFlags      = 5057
	tagPayloadDigest     = 5092
	tagPayloadDigestAlgo = 5093
)

// The tags of the signature header.
const (
	sigRegion          = 62
	sigDSA             = 267  // OpenPGP signature of the header by any key but RSA
	sigRSA             = 268  // OpenPGP signature of the header by an RSA key
	sigSHA1            = 269  // digest of the header, hexadecimal
	sigLongArchiveSize = 271  // size of the unpacked payload
	sigSHA256          = 273  // digest of the header, hexadecimal
	sigOpenPGP         = 278  // signatures of the header, base64 (rpm 6)
	sigPGP             = 1002 // signature of header and payload by an RSA key (rpm 3)
	sigGPG             = 1005 // the same by any other key
	sigArchiveSize     = 1007 // size of the unpacked payload
	sigReserved        = 1008 // room for a signature to come
)

// The bits of a dependency's flags (RPMSENSE_*) that make a requirement one of a scriptlet that
// runs before or right after the files are laid down.
const (
	senseMask      = 0xf
	sensePostTrans = 1 << 5
	sensePreReq    = 1 << 6
	sensePreTrans  = 1 << 7
	senseScriptPre = 1 << 9
	senseScriptPst = 1 << 10
	sensePre       = sensePostTrans | sensePreReq | sensePreTrans | senseScriptPre | senseScriptPst
)
