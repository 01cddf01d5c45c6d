package identity

// DefaultFilteredQuery returns the query keys that do not name content: signatures and times of
// pre-signed URLs, and the registry namespace that containerd adds. The command line and proxy rules
// without a list of their own use it; a request over the API uses exactly the list it carries.
// The caller may change the slice.
func DefaultFilteredQuery() []string {
	return []string{
		// Amazon S3
		"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires",
		"X-Amz-SignedHeaders", "X-Amz-Signature", "X-Amz-Security-Token", "X-Amz-User-Agent",
		// Google Cloud Storage
		"X-Goog-Algorithm", "X-Goog-Credential", "X-Goog-Date",
		"X-Goog-Expires", "X-Goog-SignedHeaders", "X-Goog-Signature",
		// Alibaba OSS
		"OSSAccessKeyId", "Expires", "Signature", "SecurityToken",
		// Huawei OBS; shares Signature and Expires with OSS
		"AccessKeyId", "X-Obs-Date", "X-Obs-Security-Token",
		// Tencent COS
		"q-sign-algorithm", "q-ak", "q-sign-time", "q-key-time",
		"q-header-list", "q-url-param-list", "q-signature", "x-cos-security-token",
		// containerd
		"ns",
	}
}
