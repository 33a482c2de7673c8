// A network for the app's way out, for Exchange servers that are reached by peering or VPN. Storage and vault stay as they are.
param name string
param location string
param tags object
param addressSpace string = '10.61.0.0/24'
param appSubnet string = '10.61.0.0/26'

resource network 'Microsoft.Network/virtualNetworks@2024-01-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    addressSpace: { addressPrefixes: [addressSpace] }
    subnets: [
      {
        name: 'app'
        properties: {
          addressPrefix: appSubnet
          delegations: [
            {
              name: 'functions'
              properties: { serviceName: 'Microsoft.App/environments' }
            }
          ]
        }
      }
    ]
  }
}

output subnetId string = network.properties.subnets[0].id
