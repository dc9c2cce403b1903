package x12

// A set is one transaction set of the standard.
type set struct {
	id, group, title string
	makes            []string // canonical records; nil: recognised, not yet mapped
	ack              bool     // it acknowledges what was sent, and carries no business of its own
}

// sets are the transaction sets of logistics and of what travels beside them, with the functional identifier of their
// group (X12 element 479).
func sets() [39]set {
	return [...]set{
		{"940", "OW", "Warehouse Shipping Order", []string{"OrderRelease"}, false},
		{"945", "SW", "Warehouse Shipping Advice", []string{"InventoryMovement", "ShipmentMilestone", "LogisticsException"}, false},
		{"943", "AR", "Warehouse Stock Transfer Shipment Advice", nil, false},
		{"944", "RE", "Warehouse Stock Transfer Receipt Advice", nil, false},
		{"947", "AW", "Warehouse Inventory Adjustment Advice", nil, false},
		{"846", "IB", "Inventory Inquiry/Advice", nil, false},
		{"850", "PO", "Purchase Order", nil, false},
		{"855", "PR", "Purchase Order Acknowledgment", nil, false},
		{"856", "SH", "Ship Notice/Manifest", nil, false},
		{"860", "PC", "Purchase Order Change Request - Buyer Initiated", nil, false},
		{"861", "RC", "Receiving Advice/Acceptance Certificate", nil, false},
		{"867", "PT", "Product Transfer and Resale Report", nil, false},
		{"180", "AN", "Return Merchandise Authorization and Notification", nil, false},
		{"204", "SM", "Motor Carrier Load Tender", nil, false},
		{"210", "IM", "Motor Carrier Freight Details and Invoice", nil, false},
		{"211", "BL", "Motor Carrier Bill of Lading", nil, false},
		{"214", "QM", "Transportation Carrier Shipment Status Message", nil, false},
		{"990", "GF", "Response to a Load Tender", nil, false},
		{"310", "IO", "Freight Receipt and Invoice (Ocean)", nil, false},
		{"315", "QO", "Status Details (Ocean)", nil, false},
		{"753", "RF", "Request for Routing Instructions", nil, false},
		{"754", "RG", "Routing Instructions", nil, false},
		{"810", "IN", "Invoice", nil, false},
		{"820", "RA", "Payment Order/Remittance Advice", nil, false},
		{"824", "AG", "Application Advice", nil, false},
		{"832", "SC", "Price/Sales Catalog", nil, false},
		{"830", "PS", "Planning Schedule with Release Capability", nil, false},
		{"852", "PD", "Product Activity Data", nil, false},
		{"862", "SS", "Shipping Schedule", nil, false},
		{"869", "RS", "Order Status Inquiry", nil, false},
		{"870", "RS", "Order Status Report", nil, false},
		{"875", "OG", "Grocery Products Purchase Order", nil, false},
		{"880", "GP", "Grocery Products Invoice", nil, false},
		{"888", "QG", "Item Maintenance", nil, false},
		{"889", "QG", "Promotion Announcement", nil, false},
		{"270", "HS", "Eligibility, Coverage or Benefit Inquiry", nil, false},
		{"271", "HB", "Eligibility, Coverage or Benefit Information", nil, false},
		{"997", "FA", "Functional Acknowledgment", nil, true},
		{"999", "FA", "Implementation Acknowledgment", nil, true},
	}
}
